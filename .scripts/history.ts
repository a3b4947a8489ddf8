// What the newest commits lack that style.md asks of each. It warns and never fails: a commit that is on main stays there.
import { spawnSync } from 'node:child_process'
import { basename } from 'node:path'
import { root } from './workspace.ts'

/** How many of the newest commits are looked at. */
const COMMITS = 30
const LONGEST_SUBJECT = 72
/** A note is for a change that a user notices; more than these in one commit are mostly steps of one change. */
const MOST_NOTES = 5

// No byte of a message is one of these.
const [COMMIT, FIELD] = ['\x1e', '\x1f']

/** Returns one line per commit and rule. A checkout without its history has none. */
export function historyWarnings(): string[] {
  const { status, stdout } = spawnSync(
    'git',
    [
      'log',
      `-${COMMITS}`,
      '--no-merges',
      '--diff-filter=A',
      '--name-only',
      '-m',
      `--format=${COMMIT}%h${FIELD}%s${FIELD}%b${FIELD}`,
    ],
    { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 },
  )
  return status === 0 ? stdout.split(COMMIT).slice(1).flatMap(warningsOf) : []
}

function warningsOf(commit: string): string[] {
  const [hash = '', subject = '', body = '', files = ''] = commit.split(FIELD)
  const notes = files.split('\n').filter((file) => file.startsWith('.changeset/') && basename(file) !== 'README.md')
  const warnings: string[] = []
  if (body.trim() === '') warnings.push('has no body: say why')
  if (subject.length > LONGEST_SUBJECT)
    warnings.push(`has a subject of ${subject.length} characters, over ${LONGEST_SUBJECT}`)
  if (notes.length > MOST_NOTES)
    warnings.push(`adds ${notes.length} changesets: one for each change that a user notices`)
  return warnings.map((warning) => `${hash} ${warning}`)
}
