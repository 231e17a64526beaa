"""Authorization checks: are the submitted documents authorized by Ecuador's tax authority, the SRI?"""
