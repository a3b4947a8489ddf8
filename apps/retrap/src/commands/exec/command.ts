/** `retrap exec`. */
import { realpathSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type ReleaseName, USUAL_RELEASE } from '@retrap/debian'
import type { PullPolicy } from '@retrap/oci/node'
import { type Command, CommanderError, Option } from 'commander'
import { Program } from '../command-line.ts'
import { explainError } from '../../errors.ts'
import { packageVersion } from '../../package-version.ts'
import { plainListed } from '../../print-lines.ts'
import { asIs, each, parseCpus, parseMemory, parseSeconds, usage } from '../../options/values.ts'
import { kernelFileName, type NamedKernel, parseKernel, parseKernels } from '../../guests/linux/kernel-names.ts'
import { ExecError } from '../../jobs/errors.ts'
import type { SharedFolder } from '../../jobs/job.ts'
import {
  type EmptyFolder,
  OF_DOCKER,
  parseEmptyFolder,
  parseSharedFolder,
  parseVolume,
  pullOption,
  readVariable,
  readVariables,
} from '../../options/container-options.ts'
import { HOST_PATHS, openFolderRoot, openHostRoot } from '../../jobs/host-root.ts'
import { isWithin, type ShownHost, shownHost } from '../../jobs/visible-folder.ts'
import { USUAL_PATH } from '../../jobs/program.ts'
import type { ExecRoot } from '../../jobs/root.ts'
import { type ExecHost, type ExecRequest, runExec } from './run.ts'

/** The architectures, by Debian's names. */
const ARCHITECTURES = { 'x86-64': 'amd64', arm64: 'arm64' } as const

/** The values of the options. */
export interface ExecFlags {
  readonly arch: keyof typeof ARCHITECTURES
  readonly cpu?: string
  readonly kernel?: NamedKernel
  readonly kernels?: readonly NamedKernel[]
  readonly junit?: string
  readonly root: string
  readonly image?: string
  readonly pull?: PullPolicy
  readonly env?: readonly string[]
  readonly user?: string
  readonly workdir?: string
  readonly cwd?: string
  readonly entrypoint?: string
  readonly envFile?: readonly string[]
  readonly volume?: readonly SharedFolder[]
  readonly tmpfs?: readonly EmptyFolder[]
  readonly name?: string
  readonly memory: number
  readonly cpus: number
  readonly tty?: boolean
  readonly share?: readonly SharedFolder[]
  readonly device?: readonly string[]
  readonly module?: readonly string[]
  readonly timeout?: number
  readonly network?: boolean
  readonly recordOnFailure?: string
  readonly explain?: boolean
  readonly hide?: readonly string[]
}

/** Exit code for retrap's own errors. */
const OURS = 125
const MOST_SHARES = 16

const HELP = `
The machine is booted once, without KVM or rights of any kind, and kept in the cache folder; each run begins from there. The program
sees the host's programs and libraries, and /etc, /opt and the folders of PATH but for files that other users cannot reach (--explain
lists them, --hide takes some out), empty folders such as /tmp, /var and /home, and the folders of --share. It may write anywhere
below /: into memory, which is gone when it ends (--root-rw asks for no more than that). Only what it writes to a share with :rw
stays. Input, output and signals are the program's.

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

/** Returns a hidden option, for users who know its name from other programs. */
const also = (flags: string): Option => new Option(flags).hideHelp()

/** Adds the command. @param run - called with the parsed command and options */
export function addExec(
  program: Command,
  run: (words: readonly string[], flags: ExecFlags, command: Command) => Promise<void>,
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
      parseKernel,
    )
    .option('--kernels <names>', 'run the program on each of these, and print a table; names with commas', parseKernels)
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
    code = await actOnAll(words, { ...flags, ...(cpu && { cpu }) }, host, args)
  })
  program.given = args
  program.instead = OF_DOCKER
  try {
    await program.parseAsync([...args], { from: 'user' })
    if (program.asked.length > 0) host.stdout.write(program.asked.join(''))
    return code
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) host.stdout.write(program.asked.join(''))
      return error.exitCode === 0 ? 0 : OURS
    }
    const known = error instanceof ExecError ? { message: error.message, code: error.exitCode } : explainError(error)
    if (known === undefined) throw error
    host.stderr.write(`retrap: ${known.message}\n`)
    return error instanceof ExecError ? error.exitCode : OURS
  }
}

/** Runs a program on each kernel of --kernels, or on one. */
async function actOnAll(
  words: readonly string[],
  { kernels, ...flags }: ExecFlags,
  host: ExecHost,
  given: readonly string[],
): Promise<number> {
  if (kernels === undefined && flags.junit !== undefined) throw usage('--junit belongs to --kernels')
  if (kernels === undefined || flags.explain === true) return act(words, flags, host, given)
  if (flags.kernel !== undefined) throw usage('--kernel and --kernels: give one of them')
  if (flags.tty === true) throw usage('-t: with --kernels no program has a terminal; leave it out')
  const { runOnKernels } = await import('./on-kernels.ts')
  return runOnKernels(kernels, words.join(' '), host, flags.junit, (kernel, around) => {
    // The name of a kernel stands before the extension of its recording, and in place of the others in the command line.
    const file = flags.recordOnFailure?.replace(/(\.[^./]*)?$/, `.${kernelFileName(kernel)}$&`)
    const line = given.join('\0').replace(/(^|\0)--kernels[=\0][^\0]*/, `$1--kernel\0${kernel.name}`)
    const record = file === undefined ? {} : { recordOnFailure: file }
    return act(words, { ...flags, ...record, kernel }, around, line.split('\0'))
  })
}

async function act(
  command: readonly string[],
  flags: ExecFlags,
  host: ExecHost,
  given: readonly string[],
): Promise<number> {
  const { tty = false, image, recordOnFailure, entrypoint, tmpfs = [] } = flags
  const shares = [...(flags.share ?? []), ...(flags.volume ?? [])]
  if (image !== undefined && flags.root !== 'host') throw usage('--image and --root: give one of them')
  const where = image ?? flags.root
  if (shares.length > MOST_SHARES) throw usage(`--share: at most ${MOST_SHARES} folders`)
  if (tty && host.stdin.isTTY !== true) throw usage('-t: the standard input is no terminal; leave it out')
  const arch = ARCHITECTURES[flags.arch]
  if (recordOnFailure !== undefined && flags.device !== undefined)
    throw usage('--record-on-failure: a recording has no devices of --device; leave one of them out')
  if (flags.name !== undefined) host.stderr.write(`retrap: --name ${flags.name}: a run has no name; it is left out\n`)
  const words = [...(entrypoint ? [entrypoint] : []), ...command]
  const [name = ''] = words
  const path = process.env['PATH'] ?? ''
  const shown = image === undefined && where === 'host' ? shownHost(path, flags.hide ?? []) : undefined
  if (shown === undefined && flags.hide !== undefined)
    throw usage('--hide belongs to the files of this host; leave out --image and --root')
  const named = shown && programOfHost(name, path, shown)
  const ofHost = where === 'host' ? openHostRoot(named === undefined ? [] : [named], shown) : openFolderRoot(where)
  const opened = await (image === undefined ? ofHost : openImage(image, arch, flags))
  const root =
    entrypoint === undefined ? opened : { ...opened, config: { ...opened.config, entrypoint: [], command: [] } }
  try {
    if (flags.explain === true) {
      host.stdout.write(explain(root, shares, flags))
      return 0
    }
    const here = process.cwd()
    const isHere = shares.some(({ path, at }) => path === at && (here === path || here.startsWith(`${path}/`)))
    const folder = flags.workdir ?? flags.cwd
    // A recording says which image it was.
    const { pinned = image } = root
    const said = given.map((word) =>
      word === image ? pinned! : word === `--image=${image}` ? `--image=${pinned}` : word,
    )
    const variables = [...(flags.envFile ?? []).flatMap(readVariables), ...(flags.env ?? [])]
    const request: ExecRequest = {
      arch,
      command: named === undefined ? words : [named, ...words.slice(1)],
      env: variables.flatMap((text) => readVariable(text, process.env) ?? []),
      user: flags.user ?? '',
      workingDirectory: folder === undefined ? (isHere ? here : '') : resolve('/', folder),
      hasTerminal: tty,
      kind: {
        arch,
        cpu: flags.cpu,
        debian: flags.kernel?.release ?? (await usualRelease(arch, flags.cpu)),
        memoryBytes: flags.memory,
        cpus: flags.cpus,
        kernel: flags.kernel?.file,
        devices: flags.device ?? [],
      },
      hasNetwork: flags.network === true,
      devices:
        flags.device && (await import('../../machine/devices/devices.ts')).prepareExecDevices(flags.device, host),
      shares,
      modules: flags.module ?? [],
      emptyFolders: tmpfs,
      record: recordOnFailure === undefined ? undefined : { path: resolve(recordOnFailure), arguments: said },
      timeoutMs: flags.timeout ?? Infinity,
      version: packageVersion(),
    }
    return await runExec(request, root, host)
  } finally {
    await root.close()
  }
}

/** Linux keeps the registers of APX from 6.16 on. */
async function usualRelease(arch: 'amd64' | 'arm64', cpu: string | undefined): Promise<ReleaseName> {
  if (arch !== 'amd64' || cpu === undefined) return USUAL_RELEASE
  return (await import('@retrap/x86-cpu')).cpuModel(cpu).features.has('APX_F') ? 'backports' : USUAL_RELEASE
}

/** Image readers are loaded on demand, as most runs need no images. A pull has as much time as the program. */
async function openImage(image: string, architecture: string, { pull, timeout }: ExecFlags): Promise<ExecRoot> {
  const { openImageRoot } = await import('../../jobs/root.ts')
  const signal = timeout === undefined ? undefined : AbortSignal.timeout(Math.min(timeout, 2 ** 31 - 1))
  return openImageRoot(image, architecture, { policy: pull, signal }).catch((error: unknown) => {
    if (signal?.aborted !== true) throw error
    throw new ExecError(124, `${image} was not pulled in ${timeout! / 1000} s (--timeout)`)
  })
}

/** The whole path of a program of the host that lies outside of the folders that guests see; undefined for others. */
export function programOfHost(name: string, path: string, { folders }: ShownHost): string | undefined {
  const isFile = (file: string): boolean => statSync(file, { throwIfNoEntry: false })?.isFile() === true
  const isSeen = (file: string): boolean =>
    [...HOST_PATHS, ...folders].some((seen) => isWithin(realpathSync(file), seen))
  if (name.includes('/')) return isFile(name) && !isSeen(name) ? resolve(name) : undefined
  if (name === '' || USUAL_PATH.split(':').some((folder) => isFile(join(folder, name)))) return undefined
  return path
    .split(':')
    .filter((folder) => folder.startsWith('/'))
    .map((folder) => join(folder, name))
    .find(isFile)
}

function explain(root: ExecRoot, shares: readonly SharedFolder[], flags: ExecFlags): string {
  const { module: modules = [], network = false, root: where, image, kernel } = flags
  return [
    'The program can read:',
    ...root.explanation.map((line) => `  ${line}`),
    ...(flags.hide ?? []).map((path) => `  but not ${path} (--hide)`),
    ...(kernel?.file === undefined ? [`  /lib/modules: the modules of Debian's kernel, which modprobe loads`] : []),
    ...modules.map((path) => `  /usr/lib/modules/retrap: ${path} (--module, which is loaded first)`),
    ...shares.map(
      ({ path, at, readOnly }) =>
        `  ${path}${at === path ? '' : `, as ${at}`} (--share${readOnly ? '' : ', and write it'})`,
    ),
    `It is ${image !== undefined ? 'the image, and' : where === 'host' ? 'this host, and' : `the folder ${where}, and`} nothing else of the host is there.`,
    network ? 'It reaches the network of this host (--network).' : 'It reaches no network.',
  ]
    .map(plainListed)
    .join('')
}
