// npm run -s bench -- NAME [ARGS]
//
// Runs `bench/NAME.bench.ts` of whichever package has it, on the built packages: what is measured is what is published.
// Such a file is a script, or exports `run(args: string[]): Promise<void> | void`. Per comparison it prints one line on
// stdout:
//
//     NAME: R x PEER (what was measured)
//
// Vitest's `bench` is not used: a bench here compares whole programs and processes as often as functions, and the
// runner's module getters distort short loops.
import { programsOf, provideDebianPrograms } from '../packages/tooling/src/programs.ts'
import { choose, programs } from './workspace.ts'

const [name, ...args] = process.argv.slice(2)
const file = choose('bench', programs('bench/*.bench.ts', '.bench.ts'), name)
await provideDebianPrograms({ programs: programsOf(file) })
const module = (await import(file)) as { run?: (args: string[]) => Promise<void> | void }
await module.run?.(args)
