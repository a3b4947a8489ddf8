// What `turbo boundaries` cannot check. Turbo holds each package to its layer: turbo.json says which layers a layer may import, and is
// written by hand, because a new arrow between layers is a decision. Here each package has one layer, its manifest names what `src` really
// imports, and the README shows both.
//
// node .scripts/boundaries.ts writes the README's picture.
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageOf } from '../apps/retrap/build/api.ts'
import { checkCircles } from './circles.ts'
import { type Member, inOrder, members, root } from './workspace.ts'

const README = join(root, 'README.md')
const [BEGIN, END] = ['<!-- imports: node .scripts/boundaries.ts -->', '<!-- /imports -->']

function nameOf({ path }: Member): string {
  return path.replace('packages/', '')
}

/** The workspace packages that a member's manifest depends on. */
function dependenciesOf(member: Member, all: readonly Member[]): Member[] {
  return all.filter(({ manifest }) => manifest.name in (member.manifest.dependencies ?? {}))
}

/** The workspace packages that `src` of a member imports, and that its manifest exports, and what the private ones among them import. */
function importedBy(member: Member, all: readonly Member[]): Member[] {
  const found = new Set<string>()
  for (const file of globSync('src/**/*.{ts,tsx}', { cwd: member.folder })) {
    const code = withoutComments(readFileSync(join(member.folder, file), 'utf8'))
    for (const [, name = ''] of code.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'(@retrap\/[\w-]+)/g)) found.add(name)
  }
  for (const target of Object.values(member.manifest.exports ?? {})) {
    const [name] = /^@retrap\/[\w-]+/.exec(packageOf(target) ?? '') ?? []
    if (name !== undefined) found.add(name)
  }
  const imported = all.filter((one) => found.has(one.manifest.name) && one !== member)
  return [...new Set(imported.flatMap((one) => [one, ...(isPrivate(one) ? importedBy(one, all) : [])]))]
}

/** What is private is not published: it is bundled, and belongs to the development. */
function isPrivate({ manifest }: Member): boolean {
  return manifest.private === true
}

/** Docstrings show imports that their readers would write. */
function withoutComments(code: string): string {
  return code.replace(/^\s*(?:\/\*\*?|\*|\/\/).*$/gm, '')
}

/** Each layer of turbo.json with those that it may import. */
function layers(): Map<string, readonly string[]> {
  const { tags } = read<{ boundaries: { tags: Record<string, { dependencies: { allow: readonly string[] } }> } }>(
    'turbo.json',
  ).boundaries
  return new Map(Object.entries(tags).map(([tag, { dependencies }]) => [tag, dependencies.allow]))
}

function tagsOf({ path }: Member): readonly string[] {
  const file = `${path}/turbo.json`
  return existsSync(join(root, file)) ? (read<{ tags?: readonly string[] }>(file).tags ?? []) : []
}

function read<T>(file: string): T {
  return JSON.parse(readFileSync(join(root, file), 'utf8').replace(/^\s*\/\/.*$/gm, '')) as T
}

/** Each layer with its packages, and each of them with what it imports, so that a line needs only lines below it. */
function picture(all: readonly Member[]): string {
  const short = (tag: string): string => tag.replace('layer-', '')
  const sorted = inOrder(all).toReversed()
  const lines = [...layers()].toReversed().flatMap(([layer, allowed]) => [
    `${short(layer)}: may import ${allowed.map(short).join(', ')}`,
    ...sorted
      .filter((member) => tagsOf(member).includes(layer))
      .map((member) => {
        const imports = dependenciesOf(member, all).map(nameOf)
        return `  ${nameOf(member).padEnd(14)}${imports.length > 0 ? ` → ${imports.join('  ')}` : ''}`.trimEnd()
      }),
  ])
  return `${BEGIN}\n\n\`\`\`text\n${lines.join('\n')}\n\`\`\`\n\n${END}`
}

/** Returns one line per difference between manifests, `src`, layers and the README, and per package with a circle. */
export function checkBoundaries(all: readonly Member[]): string[] {
  const problems: string[] = []
  for (const member of all) {
    const wanted = dependenciesOf(member, all)
    const found = importedBy(member, all)
    for (const one of found.filter((other) => !wanted.includes(other) && !isPrivate(other)))
      problems.push(
        `${member.path}: src imports ${nameOf(one)}, which is not among the dependencies of its package.json`,
      )
    for (const one of wanted.filter((other) => !found.includes(other)))
      problems.push(`${member.path}: src does not import ${nameOf(one)}, which package.json depends on`)
    const [tag = '', ...more] = tagsOf(member)
    if (!layers().has(tag) || more.length > 0)
      problems.push(`${member.path}/turbo.json: its "tags" are to name one layer: ${[...layers().keys()].join(', ')}`)
  }
  if (!readFileSync(README, 'utf8').includes(picture(all)))
    problems.push('README.md: the picture of the packages is out of date: node .scripts/boundaries.ts')
  return [...checkCircles(all), ...problems]
}

if (import.meta.main) {
  const text = readFileSync(README, 'utf8')
  writeFileSync(
    README,
    text.replace(new RegExp(`${BEGIN}.*${END}`, 's'), () => picture(members())),
  )
}
