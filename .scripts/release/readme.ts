// What the README of a package tells its reader to install and to run first.
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Member, root } from '../workspace.ts'

const MARK = '// Output:\n'

/** The beginning of a README. */
export interface FirstSteps {
  /** The packages after `npm install`, or nothing if the README does not begin with that. */
  readonly install: readonly string[] | undefined
  /** The first program, or nothing if there is none. */
  readonly program: string | undefined
  /** What its closing comment says it prints. */
  readonly output: string | undefined
}

/** Words for the time before the first release, and in the second comment those for the time after it. */
const WORDS = /<!-- checkout -->[^]*?<!-- registry: ?([^]*?) ?-->/g
/** The lines that install packages from a clone of the repository, with a comment for people. */
const FROM_CHECKOUT =
  /^(?:#.*\n)?npm --prefix \.\.\/retrap run -s release -- pack vendor (.+)\nnpm install (--save-dev )?\.\/vendor\/\*\.tgz/gm
/** What only works with a registry that has the packages. */
const FROM_REGISTRY = /\bnpm (?:i|install|add) (?:-\S+ )*@?retrap\b|\bnpx retrap\b/

/** Returns what a README or page says when the packages are on npm's registry. It names one way, and a release switches all. */
export function onRegistry(text: string): string {
  return text.replaceAll(WORDS, '$1').replaceAll(FROM_CHECKOUT, 'npm install $2$1')
}

/** The texts that say how packages are installed, by their paths from the root. */
function textsOf(): Map<string, string> {
  const files = globSync(['README.md', '{apps,packages}/*/README.md', 'apps/docs/pages/**/*.md'], { cwd: root })
  return new Map(files.sort().map((file) => [file, readFileSync(join(root, file), 'utf8')]))
}

/** Has all READMEs and pages say that the packages are on npm's registry. */
export function switchToRegistry(): void {
  for (const [file, text] of textsOf()) writeFileSync(join(root, file), onRegistry(text))
}

/** Returns one line per place that tells its reader to ask npm's registry, while others say that it has nothing. */
export function checkOneWay(texts: ReadonlyMap<string, string>): string[] {
  const isReleased = [...texts.values()].every((text) => onRegistry(text) === text)
  return [...texts].flatMap(([file, text]) => {
    const lines = isReleased ? [] : text.replaceAll(WORDS, '').split('\n')
    return lines
      .filter((line) => FROM_REGISTRY.test(line))
      .map((line) => `${file}: npm's registry does not have it yet: ${line.trim().slice(0, 100)}`)
  })
}

/** Reads the first `npm install` line and the first TypeScript program of a README. */
export function firstSteps({ folder }: Member): FirstSteps {
  const text = onRegistry(readFileSync(join(folder, 'README.md'), 'utf8'))
  const blocks = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = '', code = '']) => ({
    language,
    code,
  }))
  const [first] = blocks
  const install = first?.language === 'sh' ? /^npm install ([^-\n#][^\n#]*)/m.exec(first.code)?.[1] : undefined
  const program = blocks.find(({ language }) => language === 'ts')?.code
  return {
    install: install?.trim().split(/\s+/),
    program,
    output: program === undefined ? undefined : promised(program),
  }
}

/** The lines that a program's closing comment promises: all that follows `// Output:`. */
export function promised(source: string): string | undefined {
  const at = source.lastIndexOf(MARK)
  if (at < 0) return undefined
  const lines = source
    .slice(at + MARK.length)
    .trimEnd()
    .split('\n')
  return lines.map((line) => line.replace(/^\/\/ ?/, '').trimEnd()).join('\n')
}

/** What a program printed, as `promised` writes it. */
export function printed(stdout: string): string {
  return stdout
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trimEnd()
}

/** The packages that a program imports, without Node's own. */
export function imported(program: string): string[] {
  const names = [...program.matchAll(/^(?:import|export)\b(?:[^'"]*?\bfrom)?\s*['"]([^'"]+)['"]/gms)].map(
    ([, name = '']) => name,
  )
  const packages = names
    .filter((name) => !name.startsWith('node:') && !name.startsWith('.'))
    .map((name) => (name.startsWith('@') ? name.split('/').slice(0, 2).join('/') : (name.split('/')[0] as string)))
  return [...new Set(packages)]
}

/** Commands that only a checkout of this repository has. */
const OURS = /\b(?:npm (?:run|test|start)|pnpm(?:@[\d.]+)? (?:--filter|exec|run)|npx (?:turbo|changeset))\b/
/** The test runner of this repository is a user's own where a package stands on it. */
const OUR_RUNNER = /\bnpx vitest\b/

/** Returns one line per thing that the README of a published library lacks, or should not have. */
export function checkReadme(member: Member): string[] {
  const { folder, path, manifest } = member
  const text = onRegistry(readFileSync(join(folder, 'README.md'), 'utf8'))
  const { install, program, output } = firstSteps(member)
  const problems: string[] = []
  if (install === undefined) problems.push('its first block is not "npm install …"')
  else {
    if (!install.includes(manifest.name)) problems.push(`"npm install" does not name ${manifest.name}`)
    for (const name of imported(program ?? '').filter((one) => !install.includes(one)))
      problems.push(`"npm install" lacks ${name}, which its first program imports`)
  }
  if (program === undefined) problems.push('there is no program')
  else if (output === undefined) problems.push('its first program has no closing "// Output:" comment')
  const isOurs = (line: string): boolean =>
    OURS.test(line) || (OUR_RUNNER.test(line) && manifest.peerDependencies?.['vitest'] === undefined)
  for (const line of text.split('\n').filter(isOurs))
    problems.push(`a reader who installed the package cannot run: ${line.trim().slice(0, 100)}`)
  if (!/^\|/m.test(text)) problems.push('there is no table of options and outcomes')
  return problems.map((problem) => `${path}/README.md: ${problem}`)
}

/** The problems of all libraries' READMEs. */
export function checkReadmes(all: readonly Member[]): string[] {
  return all
    .filter(({ path, manifest }) => path.startsWith('packages/') && manifest.private !== true)
    .flatMap(checkReadme)
    .concat(checkOneWay(textsOf()))
}
