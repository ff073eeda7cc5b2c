#!/usr/bin/env bash
# post.sh NUMBER: posts experiment/ of experiment.sh as a comment on a pull request, its picture from a branch of its own.
set -euo pipefail
export GIT_AUTHOR_NAME=${GIT_AUTHOR_NAME:-experiment} GIT_AUTHOR_EMAIL=${GIT_AUTHOR_EMAIL:-experiment@localhost}
export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL

picture=$(git hash-object -w experiment/loss.png)
tree=$(printf '100644 blob %s\tloss.png\n' "$picture" | git mktree)
commit=$(git commit-tree "$tree" -m "Picture of pull request $1") # without parents, so that it brings no history along
git push --quiet --force origin "$commit:refs/heads/pictures/pull-$1"
{
    cat experiment/comment.md
    echo
    echo "![loss](${GITHUB_SERVER_URL:-https://github.com}/$GITHUB_REPOSITORY/raw/$commit/loss.png)"
} >experiment/posted.md
gh pr comment "$1" --body-file experiment/posted.md
