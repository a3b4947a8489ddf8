// What READMEs say of a package's surface, held against its API report: names, options of classes, reasons of exits.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Member } from '../workspace.ts'

/** Names in READMEs that look like ours and are others'. */
const OTHERS = new Set([
  // Of the language and of browsers.
  'Atomics',
  'BroadcastChannel',
  'KeyboardEvent',
  'Map',
  // Of the remote protocol of gdb.
  ...['QStartNoAckMode', 'qXfer', 'vCont'],
  // Linux's format of arm64 kernels; iced's names.
  ...['Image', 'OpCodeInfo', 'decodeOut'],
])

/** Returns one line per statement of a README that the types do not bear out. */
export function checkReadmeTables(all: readonly Member[]): string[] {
  const surfaces = new Map(all.map((member) => [member, surfaceOf(member)]))
  const known = new Set([...surfaces.values()].flatMap((surface) => surface.match(/[A-Za-z_$][\w$]*/g) ?? []))
  return all.flatMap((member) => {
    const surface = surfaces.get(member) ?? ''
    const text = readFileSync(join(member.folder, 'README.md'), 'utf8').replaceAll(/^```.*?^```$/gms, '')
    const problems = [...unknownNames(text, known), ...missingOptions(text, surface), ...missingExits(text, surface)]
    return problems.map((problem) => `${member.path}/README.md: ${problem}`)
  })
}

/** A package's API reports, with the types that callers infer and do not name; of one that is not published, its sources and their names. */
function surfaceOf({ folder }: Member): string {
  const isPublished = existsSync(join(folder, 'etc'))
  const sources = globSync('{src,build,.vitepress}/**/*.{ts,tsx,vue}', { cwd: folder })
  const read = (file: string): string => readFileSync(join(folder, file), 'utf8')
  if (!isPublished) return [...sources.map(read), ...sources].join('\n')
  const types = sources.flatMap(
    (file) => read(file).match(/^export (?:interface|type|(?:abstract )?class) .*?^(?:\}|$)/gms) ?? [],
  )
  // Reports are indented by four.
  return [
    ...globSync('etc/*.api.md', { cwd: folder }).map(read),
    ...types.map((type) => type.replaceAll(/^ +/gm, '$&$&')),
  ].join('\n')
}

/** Names of classes, types, functions and members, in code of the text, that no package has. */
function unknownNames(text: string, known: ReadonlySet<string>): string[] {
  const found = new Set<string>()
  for (const [, code = ''] of text.matchAll(/`([^`\n]+)`/g)) {
    const [, name = '', member = ''] = /^([A-Za-z_$][\w$]*)(?:\.([A-Za-z_$][\w$]*))?(?:\(.*\))?$/.exec(code) ?? []
    if (OTHERS.has(name)) continue
    for (const one of [name, member]) if (/[a-z][A-Z]|^[A-Z][a-z]/.test(one) && !known.has(one)) found.add(code)
  }
  return [...found].map((code) => `\`${code}\`: no package has this name`)
}

/** Options of classes that a table of classes and their options leaves out. */
function missingOptions(text: string, surface: string): string[] {
  const problems: string[] = []
  for (const [section] of text.matchAll(/^## .*?(?=^## |$(?![^]))/gms)) {
    const [before = '', table] = section.split(/^(?=\|[^\n|]*\| options)/m)
    const rows =
      /^(?:\|[^\n]*\n?)+/
        .exec(table ?? '')?.[0]
        .split('\n')
        .slice(2) ?? []
    for (const row of rows) {
      const classes = [...(row.split('|')[1] ?? '').matchAll(/`([A-Z]\w+)`/g)].map(([, name = '']) => name)
      const words = new Set(`${before} ${row}`.match(/\w+/g))
      for (const name of classes)
        for (const option of membersOf(`${name}Options`, surface))
          if (!words.has(option)) problems.push(`the table of options says nothing of \`${option}\` of \`${name}\``)
    }
  }
  return problems
}

/** Reasons of exits that a README with a sentence on `Exit` leaves out. */
function missingExits(text: string, surface: string): string[] {
  if (!/returns an `\w*Exit`/.test(text)) return []
  const [type = ''] = /^export type Exit =.*?^(?=\/\/ @|```)/ms.exec(surface) ?? []
  return [...type.matchAll(/reason: '([\w-]+)'/g)]
    .filter(([, reason = '']) => !text.includes(`\`${reason}\``))
    .map(([, reason = '']) => `says nothing of the exit \`${reason}\``)
}

/** The members of an interface of an API report, with those of the interfaces that it extends. */
function membersOf(name: string, surface: string): string[] {
  const [, parents = '', body = ''] =
    new RegExp(`^export interface ${name}(?: extends ([^{]+))? \\{\\n(.*?)^\\}`, 'ms').exec(surface) ?? []
  const own = [...body.matchAll(/^ {4}(?:readonly )?(\w+)\??[(:]/gm)].map(([, member = '']) => member)
  const extended = parents.split(',').map((parent) => parent.trim())
  return [...own, ...extended.flatMap((parent) => (parent === '' ? [] : membersOf(parent, surface)))]
}
