// Changesets name packages by hand; a name that does not exist would only be noticed at a release.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type Member, root } from './workspace.ts'

/** The notes for the next release, as paths from the root. */
export function notes(): string[] {
  return globSync('.changeset/*.md', { cwd: root })
    .filter((file) => basename(file) !== 'README.md')
    .sort()
}

/** Returns one line per changeset that does not say which packages change how, and what a user notices. */
export function checkChangesets(all: readonly Member[]): string[] {
  const known = new Set(all.filter(({ manifest }) => manifest.private !== true).map(({ manifest }) => manifest.name))
  const problems: string[] = []
  for (const file of notes()) {
    const [, head, text] = /^---\n(.*?)\n---\n(.*)$/s.exec(readFileSync(join(root, file), 'utf8')) ?? []
    if (head === undefined || text === undefined || text.trim() === '') {
      problems.push(`${file}: expected "---", lines of "package: bump", "---" and a sentence`)
      continue
    }
    for (const line of head.split('\n')) {
      const [, name, bump] = /^['"]?([^'":]+)['"]?: *['"]?(major|minor|patch)['"]?$/.exec(line) ?? []
      if (bump === undefined) problems.push(`${file}: "${line}" is not "package: major|minor|patch"`)
      else if (!known.has(name as string)) problems.push(`${file}: there is no published package ${name}`)
    }
  }
  return problems
}

/**
 * Returns one line per published package whose CHANGELOG says nothing of its version. A version of 0.0.0 has not been
 * released; it needs a note that will be its first entry.
 */
export function checkChangelogs(all: readonly Member[]): string[] {
  const noted = notes().map((file) => readFileSync(join(root, file), 'utf8'))
  const problems: string[] = []
  for (const { folder, path, manifest } of all.filter((member) => member.manifest.private !== true)) {
    const { name, version } = manifest
    if (version === '0.0.0') {
      if (!noted.some((note) => new RegExp(`^['"]${name}['"]: *minor$`, 'm').test(note)))
        problems.push(`${path}: no note of .changeset is the first entry of ${name}`)
      continue
    }
    const file = join(folder, 'CHANGELOG.md')
    const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
    if (!text.includes(`\n## ${version}\n`)) problems.push(`${path}/CHANGELOG.md: no entry for ${version}`)
  }
  return problems
}
