// Which package may import which. A package's manifest says what it depends on; turbo.json repeats it for
// `turbo boundaries`, and the README shows it. Here the three are held to each other and to what `src` really imports.
//
// node .scripts/boundaries.ts rewrites turbo.json, the packages' tags and the README's picture from the manifests.
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageOf } from '../apps/retrap/build/api.ts'
import { checkCircles } from './circles.ts'
import { type Member, inOrder, members, root } from './workspace.ts'

const [BEGIN, END] = ['<!-- imports: node .scripts/boundaries.ts -->', '<!-- /imports -->']

/** The workspace packages that a member's manifest names, as tags. */
function named(
  member: Member,
  all: readonly Member[],
  ...kinds: readonly ('dependencies' | 'devDependencies')[]
): string[] {
  const names = kinds.flatMap((kind) => Object.keys(member.manifest[kind] ?? {}))
  return all.filter(({ manifest }) => names.includes(manifest.name)).map(tagOf)
}

/** A package's one tag: its folder. Turbo refuses a tag that is also a package's name, as the app's would be. */
function tagOf({ path }: Member): string {
  return path.replace(/^packages\//, '')
}

/**
 * The workspace packages that the files of a member's `src` import, and that its manifest exports, as tags; and what the private
 * ones import that it bundles.
 */
function importedBy(member: Member, all: readonly Member[]): string[] {
  const found = new Set<string>()
  for (const file of globSync('src/**/*.{ts,tsx}', { cwd: member.folder })) {
    const code = withoutComments(readFileSync(join(member.folder, file), 'utf8'))
    for (const [, name = ''] of code.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'(@retrap\/[\w-]+)/g)) found.add(name)
  }
  for (const target of Object.values(member.manifest.exports ?? {})) {
    const [name] = /^@retrap\/[\w-]+/.exec(packageOf(target) ?? '') ?? []
    if (name !== undefined) found.add(name)
  }
  const imported = all.filter(({ manifest }) => found.has(manifest.name) && manifest.name !== member.manifest.name)
  const bundled = imported.filter(({ manifest }) => manifest.private === true)
  return [...new Set([...imported.map(tagOf), ...bundled.flatMap((one) => importedBy(one, all))])]
}

/** Docstrings show imports that their readers would write. */
function withoutComments(code: string): string {
  return code.replace(/^\s*(?:\/\*\*?|\*|\/\/).*$/gm, '')
}

interface Boundaries {
  readonly tags: Record<string, { readonly dependencies: { readonly allow: readonly string[] } }>
}

/**
 * The rules of turbo.json. Turbo looks at whole chains of dependencies, those for development among them: so a package
 * is allowed what its manifest names, and what the manifests of these name.
 */
function rules(all: readonly Member[]): Boundaries {
  const allowed = (member: Member): string[] => {
    const found = new Set<string>()
    const add = (one: Member): void => {
      for (const tag of named(one, all, 'dependencies', 'devDependencies').filter((name) => !found.has(name))) {
        found.add(tag)
        add(all.find((other) => tagOf(other) === tag) as Member)
      }
    }
    add(member)
    return [...found].sort()
  }
  return { tags: Object.fromEntries(all.map((one) => [tagOf(one), { dependencies: { allow: allowed(one) } }])) }
}

/** Each library and app with what it imports, so that a line needs only lines below it. */
function picture(all: readonly Member[]): string {
  const lines = inOrder(all.filter(({ manifest }) => manifest.private !== true))
    .toReversed()
    .map((member) => {
      const imports = named(member, all, 'dependencies')
      return `${member.path.replace('packages/', '').padEnd(14)}${imports.length > 0 ? `→ ${imports.join('  ')}` : ''}`.trimEnd()
    })
  return `${BEGIN}\n\n\`\`\`text\n${lines.join('\n')}\n\`\`\`\n\n${END}`
}

/** Returns one line per difference between manifests, `src`, turbo.json and the README, and per package with a circle. */
export function checkBoundaries(all: readonly Member[]): string[] {
  const circles = checkCircles(all)
  const problems: string[] = []
  for (const member of all) {
    const wanted = named(member, all, 'dependencies')
    // What is private is not published: it is bundled, and belongs to the development.
    const found = importedBy(member, all)
    const isPrivate = (tag: string): boolean => all.find((one) => tagOf(one) === tag)?.manifest.private === true
    for (const tag of found.filter((one) => !wanted.includes(one) && !isPrivate(one)))
      problems.push(`${member.path}: src imports ${tag}, which is not among the dependencies of its package.json`)
    for (const tag of wanted.filter((one) => !found.includes(one)))
      problems.push(`${member.path}: src does not import ${tag}, which package.json depends on`)
    const tags = read<{ tags?: readonly string[] }>(join(member.folder, 'turbo.json'))?.tags ?? []
    if (tags.join() !== tagOf(member))
      problems.push(`${member.path}/turbo.json: its tags are [${tags.join()}]; expected ["${tagOf(member)}"]`)
  }
  const { boundaries } = read<{ boundaries: Boundaries }>(join(root, 'turbo.json')) as { boundaries: Boundaries }
  const [is, expected] = [boundaries.tags, rules(all).tags]
  for (const tag of new Set([...Object.keys(is), ...Object.keys(expected)])) {
    if (JSON.stringify(is[tag]) !== JSON.stringify(expected[tag]))
      problems.push(`turbo.json: ${tag} is ${JSON.stringify(is[tag])}; expected ${JSON.stringify(expected[tag])}`)
  }
  if (!readFileSync(join(root, 'README.md'), 'utf8').includes(picture(all)))
    problems.push('README.md: the picture of the packages is out of date')
  if (problems.length > 0)
    problems.push('node .scripts/boundaries.ts rewrites turbo.json and the picture from the manifests')
  return [...circles, ...problems]
}

function read<T>(file: string): T | undefined {
  if (!existsSync(file)) return undefined
  return JSON.parse(readFileSync(file, 'utf8').replace(/^\s*\/\/.*$/gm, '')) as T
}

/** Replaces the part of a file's text that `pattern` finds; comments and layout of the rest stay. */
function rewrite(file: string, pattern: RegExp, by: string): void {
  const text = readFileSync(file, 'utf8')
  if (!pattern.test(text)) throw new Error(`${file}: nothing in it matches ${pattern}`)
  writeFileSync(
    file,
    text.replace(pattern, () => by),
  )
}

/** The longest line that oxfmt leaves as it is; as in .oxfmtrc.json. */
const PRINT_WIDTH = 120

/** Writes the rules as oxfmt does, one level deep in turbo.json: a list stands on one line where it fits. */
function formatted(boundaries: Boundaries): string {
  const json = JSON.stringify(boundaries, null, 2).replaceAll('\n', '\n  ')
  return json.replace(/\[([^[\]]*)\]/g, (list: string, items: string, at: number) => {
    const line = `[${items.trim().replace(/\s*\n\s*/g, ' ')}]`
    const column = at - json.lastIndexOf('\n', at) - 1
    return column + line.length <= PRINT_WIDTH ? line : list
  })
}

function update(all: readonly Member[]): void {
  rewrite(join(root, 'turbo.json'), /"boundaries": \{.*\}\n\}\n$/s, `"boundaries": ${formatted(rules(all))}\n}\n`)
  rewrite(join(root, 'README.md'), new RegExp(`${BEGIN}.*${END}`, 's'), picture(all))
  for (const member of all)
    rewrite(join(member.folder, 'turbo.json'), /"tags": \[.*?\]/s, `"tags": ["${tagOf(member)}"]`)
}

if (import.meta.main) update(members())
