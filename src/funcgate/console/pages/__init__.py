"""The pages for people: plain HTML that works without any script. They decide nothing: whose answer counts, the desk says."""
