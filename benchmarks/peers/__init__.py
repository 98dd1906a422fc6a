"""The fused engine behind other servers, each of a few lines, to be measured beside ours."""
