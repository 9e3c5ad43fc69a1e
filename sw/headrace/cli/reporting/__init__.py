"""The page of `headrace report`: what it says (`figures`), its charts, and the HTML around them."""
