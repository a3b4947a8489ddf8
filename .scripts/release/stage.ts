// A copy of the checkout for a release to be tried in: the files that git knows of or would add, as the single commit of
// a repository of its own. Nothing in it is installed or built: its root scripts do that, as in any new clone.
import { cpSync, existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { execaSync } from 'execa'
import { root } from '../workspace.ts'

/**
 * Copies the checkout.
 *
 * @param to - a folder that does not exist yet
 */
export function stageCheckout(to: string): void {
  const files = git(root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard').split('\0')
  for (const file of files.filter((name) => name !== '' && existsSync(join(root, name)))) {
    mkdirSync(dirname(join(to, file)), { recursive: true })
    cpSync(join(root, file), join(to, file), { verbatimSymlinks: true })
  }
  git(to, 'init', '--quiet', '--initial-branch=main')
  git(to, 'config', 'user.name', 'release rehearsal')
  git(to, 'config', 'user.email', 'rehearsal@localhost')
  commit(to, 'The checkout as it is')
}

/** Commits everything in a staged checkout. */
export function commit(folder: string, message: string): void {
  git(folder, 'add', '--all')
  git(folder, 'commit', '--quiet', '--no-verify', '--message', message)
}

/** Runs git and returns what it prints. Throws if it fails. */
export function git(folder: string, ...args: readonly string[]): string {
  return execaSync('git', args, { cwd: folder }).stdout
}
