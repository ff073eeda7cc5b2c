"""What does a comparison look like on one page that works offline?"""
