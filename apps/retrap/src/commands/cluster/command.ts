/** `retrap cluster`. */
import type { Command } from 'commander'
import { ExitCode } from '../../exit-codes.ts'
import { pullOption } from '../../options/container-options.ts'
import { parseSeconds, parseWhole, usage, wholeFrom } from '../../options/values.ts'
import type { FleetFlags } from './explore-by-fleet.ts'
import type { ComposeFlags } from './compose/read-file.ts'
import type { ReplayClusterFlags } from './replay.ts'
import type { Branches, ExploreFlags } from './explore-cluster.ts'
import type { ClusterFlags, ClusterOutputs } from './run-cluster.ts'

const HELP = `
The file is JSON:
  { "machines": [{ "name": "node", "count": 3, "image": "server.tar", "command": ["server"] }, { "name": "client" }],
    "workload": { "on": "client", "drivers": [["./load.sh"]], "check": ["./check.sh"] },
    "faults": { "for": "30s", "partition": { "every": "10s", "for": "3s" }, "crash": { "every": "20s", "for": "1s" } } }

The machines start together, and know each other by their names. "setup" runs on the workload's machine, then "drivers" run while
faults come, then all is mended, and "check" decides by its exit code. A program says what holds by lines to /dev/retrap/report:
  always NAME ok|fail JSON    sometimes NAME ok|fail JSON    reachable NAME    quiet SECONDS
  promised NAME NUMBER        found NAME NUMBER, after a start: fewer than were promised end the run
The same file and seed give the same run. Kinds of faults:
  of links: partition, loss, delay, duplicate, reorder, corrupt
  of machines: crash, power, hang, slow-cpu, memory, clock, drift
  of disks: eio, full, stall, slow-fsync, lost-fsync

A machine with "disk": "64M" has a disk at /data. A crash leaves the disk as it is; a power loss loses, reorders and tears writes that
no fsync has followed.

A machine of its own is { "name": "db", "machine": "db.json", "disk": "1G" }: a file as "retrap run" takes it, whose image is put onto
the disk. It starts its programs itself, and reports by lines of its first serial port.

A Compose file is read as it is: each service is a machine, with its image, its networks and volumes. Faults and drivers of the file are
those of "x-retrap", written as in a cluster.json; without it faults of each kind come for a minute. Test templates in images, at
/opt/antithesis/test/v1/NAME/, are run. "retrap cluster config compose.yaml" prints what becomes of a file, and why.

The exit code is 1 if the cluster has failed.`

const FILE = 'the cluster: a cluster.json, a Compose file, or the folder of one'
const WORKERS = 'threads that machines run in, which change no result (default: one for each processor)'
const LANES = 'threads that branches run in, up to 4, which change no result (default: one for each processor)'

const EXPLORE_HELP = `
With --branches the result is the same whatever the host's speed. On several hosts, each with the same files at the same paths:
  retrap-fleet worker --queue rediss://:PASSWORD@queue.example:6379                        on each host
  retrap cluster explore cluster.json --queue rediss://:PASSWORD@queue.example:6379        waits, and prints one table`

const REPLAY_HELP = `
Without --machine all machines run again, one after another, and what they say is compared with the file: a difference is an error.
With --exec the cluster itself runs again, with its files as they are now, and is compared until --goto; the exit code is the command's.
With --machine, times are the cluster's, and the rest is as in retrap replay: on a terminal, Ctrl-A c leads to goto and who-wrote.
  retrap cluster replay failure.run --machine node-1 --goto 2.5s --gdb 1234
  retrap cluster replay failure.run --machine node-1 --goto 2.5s --who-wrote jiffies
  retrap cluster replay failure.run --machine node-1 --goto 2.5s --exec 'ps; netstat -tn; cat /data/log'
  retrap cluster replay failure.run --frames --machine node-1
  retrap cluster replay failure.run --frame 17`

/**
 * Adds the command.
 *
 * @param report - is told the exit code
 * @param run - runs a command line. @returns its exit code
 */
export function addCluster(
  program: Command,
  outputs: ClusterOutputs,
  report: (code: number) => void,
  run: (args: readonly string[]) => Promise<number>,
): void {
  const cluster = program
    .command('cluster')
    .description('Run several machines under one clock and one seed, with faults')
  withComposeOptions(cluster.command('run'))
    .description('Run a cluster once')
    .argument('<file>', FILE)
    .option('--seed <number>', 'what random draws follow from', wholeFrom('--seed', 0, 2 ** 32 - 1), 1)
    .option('--plan <file>', 'the seed, the branch and the faults that explore has found')
    .option('--record <file>', 'leave the run in a file, for cluster replay')
    .option('--workers <number>', WORKERS, wholeFrom('--workers', 1, 64))
    .option('--junit <file>', 'write a report of properties as JUnit XML')
    .option('--jsonl', 'print what happens as lines of JSON')
    .addHelpText('after', HELP)
    .action(async (file: string, flags: ClusterFlags) => {
      // Machines and the schema are loaded where they are needed.
      const { runClusterFile } = await import('./run-cluster.ts')
      if (!(await runClusterFile(file, flags, outputs))) report(ExitCode.TestFailed)
    })
  withComposeOptions(cluster.command('config'))
    .description('Print what becomes of a Compose file, machine by machine, and why')
    .argument('<file>', FILE)
    .option('--json', 'print it as a cluster.json')
    .action(async (file: string, flags: ComposeFlags & { readonly json?: boolean }) => {
      const [{ readComposition }, { configText }] = await Promise.all([
        import('./compose/read-file.ts'),
        import('./compose/compose-cluster.ts'),
      ])
      const made = await readComposition(file, flags, (text) => void outputs.stderr.write(`retrap: ${text}\n`))
      outputs.stdout.write(flags.json === true ? `${JSON.stringify(made.input, undefined, 2)}\n` : configText(made))
    })
  withComposeOptions(cluster.command('explore'))
    .description('Run a cluster again and again, with other faults, until it fails; then find those that are needed')
    .argument('<file>', FILE)
    .option('--seed <number>', 'what random draws follow from', wholeFrom('--seed', 0, 2 ** 32 - 1), 1)
    .option(
      '--for <time>',
      'how long to look, once all is ready (default 600, or as long as --branches take)',
      parseSeconds('--for'),
    )
    .option(
      '--branches <number>',
      'look at so many states; with --from-start also from one to another: 21-40',
      parseBranches,
    )
    .option('--from-start', 'begin each branch where all is ready, and go on from no state in the middle')
    .option('--state-memory <size>', "memory for states, such as 4G (default: half of the host's)", parseStateMemory)
    .option('--workers <number>', LANES, wholeFrom('--workers', 1, 64))
    .option('--keep-going', 'look for further failures')
    .option('--blind', 'with --from-start: draw the faults of each branch afresh, whatever others have reached')
    .option('--out <file>', 'write the plan of a failure, for run --plan')
    .option('--record <file>', 'run the reduced failure once more, and leave it in a file (default: beside --out)')
    .option('--junit <file>', 'write a report of properties as JUnit XML')
    .option('--jsonl', 'print branches and failures as lines of JSON')
    .option(
      '--queue <url>',
      'spread seeds and branches over hosts, by retrap-fleet and its queue; --out is a folder then',
    )
    .option('--seeds <number>', 'with --queue: so many seeds, from --seed on (default 8)', parseNumber('--seeds'))
    .addHelpText('after', EXPLORE_HELP)
    .action(async (file: string, flags: ExploreFlags & FleetFlags) => {
      requireTree(flags)
      if (flags.queue !== undefined) {
        const { exploreByFleet } = await import('./explore-by-fleet.ts')
        const code = await exploreByFleet(file, flags)
        if (code !== ExitCode.PowerOff) report(code)
        return
      }
      if (flags.seeds !== undefined) throw usage('--seeds: expected --queue, too')
      const { exploreClusterFile } = await import('./explore-cluster.ts')
      if (!(await exploreClusterFile(file, flags, outputs))) report(ExitCode.TestFailed)
    })
  cluster
    .command('replay')
    .description("Run a recorded cluster's machines again, and print what happened; or go into one of them")
    .argument('<file>', 'the file that --record has left')
    .argument('[options...]', "behind --: further options of the machine's replay, such as --jit off")
    .option('--goto <time>', "stop there, in the cluster's time, such as 2.5s; of a machine also as in retrap replay")
    .option('--machine <name>', 'go into the run of this machine, as retrap replay does, forwards and backwards')
    .option(
      '--start <number>',
      'of its starts, from 1 (default: that of --goto, else the last)',
      parseNumber('--start'),
    )
    .option('--gdb <port>', 'wait for gdb on this port of 127.0.0.1, which goes both ways; or as run --gdb')
    .option('--who-wrote <place>', 'say who wrote a place in memory of the machine last')
    .option('--exec <command>', 'run the cluster again to --goto, and a command of a shell in a fork of --machine')
    .option('--timeout <time>', "of the cluster's time, for --exec (default 60)", parseSeconds('--timeout'))
    .option('--frames', 'list the frames, of --machine if given')
    .option(
      '--frame <number>',
      'say where a frame came from and where it went, and how to go there',
      parseNumber('--frame'),
    )
    .option('--jsonl', 'print what happened as lines of JSON')
    .addHelpText('after', REPLAY_HELP)
    .action(async (file: string, more: readonly string[], flags: ReplayClusterFlags) => {
      const { replayCluster } = await import('./replay.ts')
      const code = await replayCluster(file, more, flags, { stdout: outputs.stdout, stderr: outputs.stderr, run })
      if (code !== ExitCode.PowerOff) report(code)
    })
  cluster
    .command('schema')
    .description('Print the JSON Schema of the file')
    .action(async () => {
      const { clusterSchema } = await import('@retrap/cluster')
      outputs.stdout.write(`${JSON.stringify(clusterSchema(), undefined, 2)}\n`)
    })
}

/** Adds the options that are for Compose files. */
const withComposeOptions = (command: Command): Command =>
  command
    .option('-f, --file <file>', 'a Compose file that is merged over those before; may be repeated', list)
    .option('--images <folder>', 'images of Compose files: OCI layouts and archives of docker save, found by tag')
    .option('--profile <name>', 'a profile of Compose files; may be repeated', list)
    .option('--env-file <file>', 'variables of Compose files (default: .env beside the first); may be repeated', list)
    .option('--only <services>', 'services of Compose files, such as A,B, and those that they depend on', (text) =>
      text.split(','),
    )
    .option('--strict', 'a key of a Compose file that is not done is an error')
    .option('--faults <which>', '`none`: as docker compose up', parseFaults)
    .addOption(pullOption())

const list = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]

function parseFaults(text: string): 'none' {
  if (text === 'none') return text
  throw usage(`--faults ${text}: expected none`)
}

const parseNumber =
  (option: string) =>
  (text: string): number => {
    const number = parseWhole(text)
    if (number !== undefined) return number
    throw usage(`${option} ${text}: expected a whole number`)
  }

/** @throws CliError `ERR_USAGE` for options of branches without --from-start */
function requireTree({ fromStart = false, blind = false, branches }: ExploreFlags): void {
  if (fromStart) return
  if (blind) throw usage('--blind: expected --from-start, too: a tree goes on from what it has reached')
  if (branches !== undefined && branches.first > 1)
    throw usage('--branches: expected a number of states, or --from-start, too: a tree has no ranges')
}

function parseBranches(text: string): Branches {
  const [, from, to] = /^(?:(\d+)-)?(\d+)$/.exec(text) ?? []
  const [first, last] = [Number(from ?? 1), Number(to)]
  if (first >= 1 && last >= first && last < 2 ** 32) return { first, count: last - first + 1 }
  throw usage(`--branches ${text}: expected a number such as 20, or a range such as 21-40`)
}

function parseStateMemory(text: string): number {
  const [, amount, unit] = /^(\d{1,6})([MG])$/.exec(text) ?? []
  if (Number(amount) > 0) return Number(amount) * (unit === 'G' ? 2 ** 30 : 2 ** 20)
  throw usage(`--state-memory ${text}: expected a size such as 800M or 4G`)
}
