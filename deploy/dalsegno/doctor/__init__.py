"""What may be wrong with an installation, and what to do about it.

`facts` says what is looked at, `looking_*` look (the only I/O here), `checks_*` judge: pure, from
facts to findings. Changes nothing anywhere.
"""
