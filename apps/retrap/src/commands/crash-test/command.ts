/** `retrap crash-test`. */
import { type Command, Option } from 'commander'
import { explainError } from '../../errors.ts'
import { pullOption } from '../../options/container-options.ts'
import { asIs, parseSeconds, wholeFrom } from '../../options/values.ts'
import type { ClusterOutputs } from '../cluster/run-cluster.ts'
import type { CrashTestFlags } from './crash-test.ts'

/** Exit code for retrap's own errors, as of exec. */
const OURS = 125

const HELP = `
A machine runs the work once, with a disk at /data. Then its power goes at each flush of the disk, and between flushes: of what was not
flushed, writes are lost, kept, cut off, reordered or torn. Each of these disks is mounted by a machine of its own, and the check runs.
Both are commands of a shell; the work has ten minutes of the machine's time. A check fails by its exit code, or by lines to /dev/retrap/report:
  promised NAME NUMBER        by the work, once a number of things is safe
  found NAME NUMBER           by the check: fewer than were promised are a loss
  always NAME ok|fail JSON    by the check

With --out each loss leaves a plan, and the first of its kind a recording:
  retrap cluster run OUT/cluster.json --plan OUT/flush-7.json
  retrap cluster replay OUT/flush-7.run --machine machine --goto 1.5s --gdb 1234

Exit codes: 0 all states hold, 1 some are lost, 125 an error of retrap's, 130 ended by a signal.

Example:
  retrap crash-test --work 'cd /data; echo 1 >a; sync a; echo promised n 1 >/dev/retrap/report' \\
    --check 'echo found n $(cat /data/a || echo 0) >/dev/retrap/report'`

/** Adds the command. @param report - is told the exit code */
export function addCrashTest(program: Command, outputs: ClusterOutputs, report: (code: number) => void): void {
  program
    .command('crash-test')
    .description('Lose the power at every flush of a disk, and check what is left')
    .requiredOption('--work <command>', 'writes to /data')
    .requiredOption('--check <command>', 'ends with 0 where /data is as it should be')
    .option('--image <name>', "an image of a container, as of exec (default: the host's programs)")
    .addOption(pullOption())
    .option('--root <folder>', 'a folder with the files of both, in place of an image')
    .addOption(
      new Option('--arch <name>', 'the processor')
        .choices(['x86-64', 'arm64'])
        .default(process.arch === 'arm64' ? 'arm64' : 'x86-64', "the host's"),
    )
    .option('--share <folder[:path]>', 'a folder that both can read (repeatable)', asIs)
    .option('-e, --env <name=value>', 'a variable of both (repeatable)', asIs)
    .option('-u, --user <uid:gid>', 'numbers or names in the guest (default: root)')
    .option('-m, --memory <size>', 'memory of the machine', '256M')
    .option('--disk <size>', 'size of the disk', '32M')
    .option('--seed <number>', 'what random draws follow from', wholeFrom('--seed', 0, 2 ** 32 - 1), 1)
    .addOption(new Option('--tear <bytes>', 'what the disk writes as a whole').choices(['512', '4096']).default('4096'))
    .option('--for <time>', 'how long to look, from the end of the work on', parseSeconds('--for'), 600_000)
    .option('--timeout <time>', "the machine's time for a check", parseSeconds('--timeout'), 60_000)
    .option('--jobs <number>', 'threads, up to 4 (default: one for each processor)', wholeFrom('--jobs', 1, 64))
    .option('--out <folder>', 'leave plans and recordings of losses there')
    .option('--junit <file>', 'write a report of flushes as JUnit XML')
    .option('--jsonl', 'print states and losses as lines of JSON')
    .addHelpText('after', HELP)
    .action(async (flags: CrashTestFlags) => {
      // Machines and the schema are loaded where they are needed.
      const { runCrashTest } = await import('./crash-test.ts')
      try {
        report(await runCrashTest(flags, outputs))
      } catch (error) {
        const known = explainError(error)
        if (known === undefined) throw error
        outputs.stderr.write(`retrap: ${known.message}\n`)
        report(OURS)
      }
    })
}
