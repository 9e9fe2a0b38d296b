"""Where approvers are asked, one file a channel: each tells of approvals, and verifies the answers that come back by it."""
