"""What is right, and what typical mistakes give: a module an item, in a checkout only.

Each builds cases (`…_case`) and has `public()`, the cases of each part that students can see.
"""
