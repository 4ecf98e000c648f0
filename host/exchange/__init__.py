"""Networks and conductances in the forms of other tools."""
