// What `npm test` is asked for.
import { existsSync } from 'node:fs'
import { basename, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { execaSync } from 'execa'
import { sliceNumber } from '../../packages/tooling/src/run/slice-number.ts'
import { type Member, root } from '../workspace.ts'

export const USAGE = `Usage: npm test [-- [NAME | FILE]...] [--changed] [--fresh] [--long] [--shard K/N] [--slice N]
                [--keep-durations]

Build, type-check and test all packages, then check the workspace as a whole.

  NAME              only these packages: the names of their folders in packages/ and apps/
  FILE              only these test files: paths from the top
  --changed         only packages that differ from the upstream branch, or from HEAD, and those that depend on them
  --fresh           test what has not changed since it last passed on this machine, too
  --long            all cases of all suites, not a slice of the long ones; takes hours, runs each night
  --shard K/N       all test files, not only those whose turn it is, in N parts of about one length; this run has part K,
                    and the first checks the workspace as well
  --slice N         the slice of the long suites, which is otherwise chosen by the commit's hash
  --keep-durations  write .config/test-durations.json when all has passed
`

/** What a run does. */
export interface Plan {
  /** In the order of the workspace. */
  readonly selected: readonly Member[]
  /** Whether that is all of them, so that the workspace is checked as a whole as well. */
  readonly everything: boolean
  /** Test files, as paths from the top; none stands for all of the packages. Nothing but them is run. */
  readonly files: readonly string[]
  readonly fresh: boolean
  readonly long: boolean
  /** Which of so many parts of all test files a run has, as vitest takes it: `2/6`. */
  readonly shard?: string
  /** 32 bits. */
  readonly slice: number
  readonly keepDurations: boolean
}

/** Reads the command line. @throws Error that says what is wrong with it; undefined stands for `--help` */
export function planOf(args: readonly string[], all: readonly Member[]): Plan | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      changed: { type: 'boolean', default: false },
      fresh: { type: 'boolean', default: false },
      long: { type: 'boolean', default: false },
      shard: { type: 'string' },
      slice: { type: 'string' },
      'keep-durations': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const files = positionals.filter((one) => one.endsWith('.test.ts')).map(fromTop)
  const names = positionals.filter((one) => !one.endsWith('.test.ts'))
  const unknown = names.filter((name) => !all.some(({ path }) => basename(path) === name))
  if (unknown.length > 0)
    throw new Error(
      `no package named ${unknown.join(', ')}; there are ${all.map(({ path }) => basename(path)).join(', ')}`,
    )
  if (files.length > 0 && names.length > 0) throw new Error('name packages or test files, not both')
  const slice = values.slice === undefined ? sliceNumber() : Number(values.slice)
  if (!Number.isInteger(slice) || slice < 0 || slice > 0xffff_ffff)
    throw new Error(`--slice takes a whole number from 0 to ${0xffff_ffff}, not ${values.slice}`)
  const { shard } = values
  const [part, parts] = shard === undefined ? [1, 1] : shardOf(shard)
  if (shard !== undefined && (positionals.length > 0 || values.changed))
    throw new Error('--shard is a part of all test files: name neither packages nor files, nor --changed')
  const everything = names.length === 0 && files.length === 0 && !values.changed
  const wanted = new Set([...names, ...(values.changed ? changed() : [])])
  return {
    selected: all.filter(({ path }) =>
      files.length > 0 ? files.some((file) => file.startsWith(`${path}/`)) : everything || wanted.has(basename(path)),
    ),
    everything,
    files,
    // What has passed is kept by package, of which a part has some files.
    fresh: values.fresh || parts > 1,
    long: values.long,
    ...(shard !== undefined && { shard: `${part}/${parts}` }),
    slice,
    keepDurations: values['keep-durations'],
  }
}

/** Reads `K/N`. @throws Error */
function shardOf(text: string): readonly [part: number, parts: number] {
  const [part, parts] = /^([1-9]\d{0,3})\/([1-9]\d{0,3})$/.exec(text)?.slice(1).map(Number) ?? []
  if (part === undefined || parts === undefined || part > parts)
    throw new Error(`--shard takes a part and how many there are, as 2/6, not ${text}`)
  return [part, parts]
}

function fromTop(file: string): string {
  const path = resolve(process.env['INIT_CWD'] ?? root, file)
  if (!existsSync(path)) throw new Error(`there is no test file ${file}`)
  return relative(root, path).replaceAll('\\', '/')
}

/** The folders of packages that differ from the upstream branch and of those that depend on them. */
function changed(): string[] {
  const base = git('merge-base', 'HEAD', '@{upstream}') ?? 'HEAD'
  const { stdout } = execaSync('turbo', ['ls', `--filter=...[${base}]`, '--output=json'], { cwd: root })
  const { packages } = JSON.parse(stdout) as { packages: { items: readonly { path: string }[] } }
  return packages.items.map(({ path }) => basename(path.replaceAll('\\', '/')))
}

function git(...args: string[]): string | undefined {
  const { failed, stdout } = execaSync('git', args, { cwd: root, reject: false })
  return failed ? undefined : stdout
}
