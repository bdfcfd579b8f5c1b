"""The commands of `dalsegno`, one file each; imported only when they are called."""
