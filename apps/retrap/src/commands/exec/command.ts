/** `retrap exec`. */
import { type Command, CommanderError, Option } from 'commander'
import { Program } from '../command-line.ts'
import { explainError } from '../../errors.ts'
import { asIs, each, parseCpus, parseMemory, parseSeconds, usage } from '../../options/values.ts'
import {
  OF_DOCKER,
  parseEmptyFolder,
  parseSharedFolder,
  parseVolume,
  pullOption,
} from '../../options/container-options.ts'
import { ARCHITECTURES, type ExecCall, type GivenFlags, OURS } from './flags.ts'
import type { ExecHost } from './run.ts'

const HELP = `
The machine is booted once, without KVM or rights of any kind, and kept in the cache folder; each run begins from there. The program
sees the host's programs and libraries, and /etc, /opt and the folders of PATH but for files that other users cannot reach (--explain
lists them, --hide takes some out), empty folders such as /tmp, /var and /home, and the folders of --share. It may write anywhere
below /: into memory, which is gone when it ends (--root-rw asks for no more than that). Only what it writes to a share with :rw
stays. Input, output and signals are the program's.

With --stay later runs take about a quarter of the time to start: a process stays that holds the machine, one for each processor, and runs are forks
of it, which share nothing. It is for the same user, environment and machine alone, and ends when it was idle for so long, when its
memory passes --stay-memory, and by --stop. Runs with --device, --record-on-failure, several --cpus or more than 1.5 GiB have a process
of their own in any case.

Lines of docker run: -e, --env-file, -u, -w, -m, -t, --entrypoint and --tmpfs have their meaning there, and -v SRC:DST[:ro] is a
share that may be written to. -i and --rm are always so. A run has no name: --name is left out, and a line says so.

With --kernels the program has an empty input. Each of its lines begins with the name of a kernel, and a table follows, with a line
for the program, and one for each test that it tells by TAP. --record-on-failure run.rec leaves run.debian-13.rec. The exit code is 1
if it has failed on a kernel. 'retrap kernels' lists the kernels.

Exit codes:
  124   --timeout passed
  125   retrap or the machine failed; one line on stderr says so
  126   the program cannot be executed
  127   the program is not there
  128+n the program was ended by signal n; for 132 a line names an instruction that --cpu lacks
  any   the program's own

Examples:
  retrap exec -- python3 -c 'print(6 * 7)'
  retrap exec --share "$PWD:rw" -- make check
  retrap exec --kernels debian:11,debian:12,debian:13,debian:sid -- ./tests`

/** Reads `--stay`; an empty variable of the environment is none. */
const parseStay = parseSeconds('--stay', undefined, 1, 7 * 86_400)

/** Returns a hidden option, for users who know its name from other programs. */
const also = (flags: string): Option => new Option(flags).hideHelp()

/** Adds the command. @param run - called with the parsed command and options */
export function addExec(
  program: Command,
  run: (words: readonly string[], flags: GivenFlags, command: Command) => Promise<void>,
): void {
  program
    .command('exec')
    .description('Run a Linux program of this host in a guest, as if it ran here')
    .argument('[program...]', 'the program and its arguments, after --')
    .addOption(
      new Option('--arch <name>', 'the processor')
        .choices(Object.keys(ARCHITECTURES))
        .default(process.arch === 'arm64' ? 'arm64' : 'x86-64', "the host's"),
    )
    .option(
      '--cpu <model>',
      "the model of the processor, as for other machines; one with APX takes a newer kernel of Debian's",
    )
    .option(
      '--kernel <name>',
      "a kernel of Debian's, by its release: debian:11, 12, 13, backports or sid (default: debian:12); or a file, with all its drivers built in",
    )
    .option('--kernels <names>', 'run the program on each of these, and print a table; names with commas')
    .option('--junit <file>', 'with --kernels: write a report as JUnit XML, with a suite for each kernel')
    .option('--root <where>', "the program's files: host, or a folder", 'host')
    .option(
      '--image <name>',
      "an image of a container instead: of a registry, such as python:3.12; or PATH[:NAME] of an OCI layout, an archive of docker save, or a folder of skopeo's dir:",
    )
    .addOption(pullOption())
    .option('--entrypoint <program>', "a program in place of the image's; empty for none")
    .option('-e, --env <name=value>', 'a variable of the environment, or the name of one of yours (repeatable)', asIs)
    .option('--env-file <file>', 'variables, one a line as --env has it; # begins a comment (repeatable)', asIs)
    .option('-u, --user <uid:gid>', 'numbers or names in the guest (default: root)')
    .option('-w, --workdir <folder>', 'where the program starts, also --cwd (default: here if that is shared, else /)')
    .addOption(also('--cwd <folder>'))
    .addOption(
      new Option('-m, --memory <size>', 'memory of the machine').argParser(parseMemory).default(512 << 20, '512M'),
    )
    .option('--cpus <count>', 'processors of the machine', parseCpus, 1)
    .option('-t, --tty', 'the program has a terminal')
    .option(
      '--share <folder[:path]>',
      'a folder that the program has at the same path or at another one, :rw to write to it (repeatable)',
      each(parseSharedFolder),
    )
    .addOption(also('-v, --volume <folder:path>').argParser(each(parseVolume)))
    .option('--hide <path>', 'a file or folder of the host that the program does not see (repeatable)', asIs)
    .option(
      '--tmpfs <path[:options]>',
      'an empty folder in memory, such as /scratch or /scratch:size=64m,noexec (repeatable)',
      each(parseEmptyFolder),
    )
    .option('--device <name,key=value>', 'a device, or one of yours: see retrap linux (repeatable)', asIs)
    .option('--module <file>', 'a kernel module of yours (.ko), which is loaded first (repeatable)', asIs)
    .addOption(also('--root-rw'))
    .addOption(also('-i, --interactive'))
    .addOption(also('--rm'))
    .addOption(also('--name <name>'))
    .option('--timeout <time>', 'end the program after so long', parseSeconds('--timeout'))
    .option('--network', 'the program reaches the network of this host')
    .option('--record-on-failure <file>', 'where the program fails, leave a recording of the run, for retrap replay')
    .addOption(
      new Option(
        '--stay <time>',
        'leave a process for later runs, which start in a quarter of the time; it ends when it is idle so long',
      )
        .argParser((text) => (text === '' ? undefined : parseStay(text)))
        .env('RETRAP_STAY'),
    )
    .addOption(
      new Option('--stay-memory <size>', 'memory with which a process that stays ends after a run')
        .argParser(parseMemory)
        .default(2 ** 31, '2G'),
    )
    .option('--running', 'list the processes that stay, and run nothing')
    .option('--stop', 'end the processes that stay, and their runs')
    .option('--explain', 'list what the program could read, and run nothing')
    .addHelpText('after', HELP)
    .action(run)
}

/** Runs the command line on this process. @returns the exit code */
export async function runExecCommand(args: readonly string[], host: ExecHost): Promise<number> {
  const program = new Program({ stdout: process.stdout, stderr: host.stderr })
  program.enablePositionalOptions()
  let code = 0
  addExec(program, async (words, flags, command) => {
    // The models of processors are loaded on demand.
    const cpu = flags.cpu && (await import('../../flags/cpu-option.ts')).parseCpu(flags.cpu, command)
    const { kernel, kernels, ...others } = flags
    const named = (kernel ?? kernels) === undefined ? undefined : await import('../../guests/linux/kernel-names.ts')
    const chosen = {
      ...(kernel !== undefined && { kernel: named!.parseKernel(kernel) }),
      ...(kernels !== undefined && { kernels: named!.parseKernels(kernels) }),
    }
    code = await runCall({ words, flags: { ...others, ...(cpu && { cpu }), ...chosen }, given: args }, host)
  })
  program.given = args
  program.instead = OF_DOCKER
  try {
    await program.parseAsync([...args], { from: 'user' })
    if (program.asked.length > 0) host.stdout.write(program.asked.join(''))
    return code
  } catch (error) {
    if (error instanceof CommanderError) {
      await program.tellMistake(host.stderr)
      if (error.exitCode === 0) host.stdout.write(program.asked.join(''))
      return error.exitCode === 0 ? 0 : OURS
    }
    const known = explainError(error)
    if (known === undefined) throw error
    host.stderr.write(`retrap: ${known.message}\n`)
    return OURS
  }
}

/** A run in a process that stays loads nothing of a machine here. */
async function runCall(call: ExecCall, host: ExecHost): Promise<number> {
  const { flags } = call
  if (flags.running === true || flags.stop === true) {
    const { listStaying, stopStaying } = await import('./stay/manage.ts')
    return flags.stop === true ? stopStaying(host) : listStaying(host)
  }
  if (flags.kernels === undefined && flags.junit !== undefined) throw usage('--junit belongs to --kernels')
  if (flags.kernels !== undefined && flags.explain !== true)
    return (await import('./on-kernels.ts')).performOnKernels(call, host)
  if (flags.stay !== undefined) {
    const code = await (await import('./stay/client.ts')).runStaying(call, host)
    if (code !== undefined) return code
  }
  return (await import('./act.ts')).perform(call, host)
}
