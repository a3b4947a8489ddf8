// npm run -s bench -- NAME [ARGS] [--record FILE]
//
// Runs `bench/NAME.bench.ts` of whichever package has it, on the built packages: what is measured is what is published.
// Such a file is a script, or exports `run(args: string[]): Promise<void> | void`. Per comparison it prints one line on
// stdout:
//
//     NAME: R x PEER (what was measured)
//
// `--record FILE` adds these lines to a JSON file, which the page of figures charts: apps/docs/figures.json.
//
// Vitest's `bench` is not used: a bench here compares whole programs and processes as often as functions, and the
// runner's module getters distort short loops.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { comparisonsOf, withRun, type Comparison } from '../packages/tooling/src/bench-history.ts'
import { programsOf, provideDebianPrograms } from '../packages/tooling/src/programs.ts'
import { choose, programs, root } from './workspace.ts'

const [name, ...args] = process.argv.slice(2)
const file = choose('bench', programs('bench/*.bench.ts', '.bench.ts'), name)
const at = args.indexOf('--record')
const [, target] = at < 0 ? [] : args.splice(at, 2)
if (at >= 0 && target === undefined) {
  console.error('--record: expected the JSON file that the comparisons are added to')
  process.exit(2)
}
await provideDebianPrograms({ programs: programsOf(file) })

let output = ''
if (target !== undefined) {
  const write = process.stdout.write.bind(process.stdout)
  process.stdout.write = ((text: string | Uint8Array, ...rest: never[]) => {
    output += String(text)
    return write(text, ...rest)
  }) as typeof process.stdout.write
}
const module = (await import(file)) as { run?: (args: string[]) => Promise<void> | void }
await module.run?.(args)
if (target !== undefined) record(target)

/** Adds the comparisons that were printed, with what they were measured on. */
function record(path: string): void {
  const history = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Comparison[]) : []
  const { stdout } = spawnSync('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: root, encoding: 'utf8' })
  const run = {
    date: new Date().toISOString().replace(/\.\d+/, ''),
    commit: stdout.trim(),
    host: `${cpus()[0]?.model ?? 'unknown processor'}, Node ${process.versions.node}`,
  }
  const lines = withRun(history, comparisonsOf(output, run)).map((one) => `  ${JSON.stringify(one)}`)
  writeFileSync(path, `[\n${lines.join(',\n')}\n]\n`)
}
