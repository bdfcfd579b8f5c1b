"""The wire of Dalsegno: the contract that every process shares."""
