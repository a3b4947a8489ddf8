/** `retrap exec`. */
import { realpathSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Command, CommanderError, Option } from 'commander'
import { Program } from '../command-line.ts'
import { explainError } from '../errors.ts'
import { packageVersion } from '../package-version.ts'
import { parseCpus, parseMemory, parseSeconds, usage } from '../options/values.ts'
import { ExecError } from './errors.ts'
import { HOST_PATHS, openFolderRoot, openHostRoot } from './host-root.ts'
import { USUAL_PATH } from './program.ts'
import type { ExecRoot } from './root.ts'
import { type ExecHost, type ExecRequest, runExec, type SharedFolder } from './run.ts'

/** The architectures, by Debian's names. */
const ARCHITECTURES = { 'x86-64': 'amd64', arm64: 'arm64' } as const

/** The values of the options. */
export interface ExecFlags {
  readonly arch: keyof typeof ARCHITECTURES
  readonly cpu?: string
  readonly kernel?: string
  readonly root: string
  readonly image?: string
  readonly env?: readonly string[]
  readonly user?: string
  readonly workdir?: string
  readonly memory: number
  readonly cpus: number
  readonly tty?: boolean
  readonly share?: readonly SharedFolder[]
  readonly module?: readonly string[]
  readonly timeout?: number
  readonly network?: boolean
  readonly recordOnFailure?: string
  readonly explain?: boolean
}

/** An end that is ours. */
const OURS = 125
const MOST_SHARES = 16

const HELP = `
The machine is booted once, without KVM or rights of any kind, and kept in the cache folder; each run begins from there. The program
sees the host's programs and libraries, read-only (--explain lists the folders), an empty /tmp, and the folders of --share. What it
writes elsewhere is gone when it ends. Input, output and signals are the program's.

Exit codes:
  124   --timeout passed
  125   retrap or the machine failed; one line on stderr says so
  126   the program cannot be executed
  127   the program is not there
  128+n the program was ended by signal n; for 132 a line names an instruction that --cpu lacks
  any   the program's own

Examples:
  retrap exec -- python3 -c 'print(6 * 7)'
  retrap exec --share "$PWD:rw" -- make check`

const each = <T>(value: T, before: readonly T[] | undefined): readonly T[] => [...(before ?? []), value]

/** Reads `--share`. */
export function parseSharedFolder(text: string): SharedFolder {
  const [, path = text, mode] = /^(.*):(ro|rw)$/s.exec(text) ?? []
  if (path === '') throw usage(`--share ${text}: write DIR, DIR:ro or DIR:rw`)
  const whole = resolve(path)
  if (whole === '/') throw usage('--share /: the whole host is not shared; name the folders that the program needs')
  return { path: whole, readOnly: mode !== 'rw' }
}

/** Reads `--env`. @returns undefined for a variable of the host that is not there */
export function readVariable(text: string, environment: NodeJS.ProcessEnv): string | undefined {
  if (text === '' || text.startsWith('=')) throw usage(`--env ${text}: write NAME=VALUE, or the NAME of one of yours`)
  if (text.includes('=')) return text
  const value = environment[text]
  return value === undefined ? undefined : `${text}=${value}`
}

/** Adds the command. @param run - is called with what it is given */
export function addExec(program: Command, run: (command: readonly string[], flags: ExecFlags) => Promise<void>): void {
  program
    .command('exec')
    .description('Run a Linux program of this host in a guest, as if it ran here')
    .argument('[program...]', 'the program and its arguments, after --')
    .addOption(
      new Option('--arch <name>', 'the processor')
        .choices(Object.keys(ARCHITECTURES))
        .default(process.arch === 'arm64' ? 'arm64' : 'x86-64', "the host's"),
    )
    .option('--cpu <model>', 'the model of the processor, as for other machines')
    .option('--kernel <file>', "a kernel with all its drivers built in (default: Debian's)")
    .option('--root <where>', "the program's files: host, or a folder", 'host')
    .option(
      '--image <path[:name]>',
      'an image of a container instead: an OCI layout, or an archive of docker save; the name is for one of several',
    )
    .option(
      '--env <name=value>',
      'a variable of the environment, or the name of one of yours (repeatable)',
      (text: string, before?: readonly string[]) => each(text, before),
    )
    .option('--user <uid:gid>', 'numbers or names in the guest (default: root)')
    .option('--workdir <folder>', 'where the program starts (default: here if that is shared, else /)')
    .addOption(new Option('--memory <size>', 'memory of the machine').argParser(parseMemory).default(512 << 20, '512M'))
    .option('--cpus <count>', 'processors of the machine', parseCpus, 1)
    .option('-t, --tty', 'the program has a terminal')
    .option(
      '--share <folder>',
      'a folder that the program has at the same path, :rw to write to it (repeatable)',
      (text: string, before: readonly SharedFolder[] | undefined) => each(parseSharedFolder(text), before),
    )
    .option(
      '--module <file>',
      'a kernel module of yours (.ko), which is loaded first (repeatable)',
      (text: string, before?: readonly string[]) => each(text, before),
    )
    .option('--timeout <seconds>', 'end the program after so long', parseSeconds('--timeout'))
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
  addExec(program, async (command, flags) => {
    code = await act(command, flags, host, args)
  })
  program.given = args
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

async function act(
  command: readonly string[],
  flags: ExecFlags,
  host: ExecHost,
  given: readonly string[],
): Promise<number> {
  const { share: shares = [], tty = false, image, recordOnFailure } = flags
  if (image !== undefined && flags.root !== 'host') throw usage('--image and --root: give one of them')
  const where = image ?? flags.root
  if (shares.length > MOST_SHARES) throw usage(`--share: at most ${MOST_SHARES} folders`)
  if (tty && host.stdin.isTTY !== true) throw usage('-t: the standard input is no terminal; leave it out')
  const arch = ARCHITECTURES[flags.arch]
  if (recordOnFailure !== undefined && arch === 'arm64')
    throw usage('--record-on-failure: an Arm board is recorded from power-on alone; leave it or --arch arm64 out')
  const [name = ''] = command
  const named = image === undefined && where === 'host' ? programOfHost(name, process.env['PATH'] ?? '') : undefined
  const root = image === undefined ? await openRoot(where, named) : await openImage(image, arch)
  try {
    if (flags.explain === true) {
      host.stdout.write(explain(root, flags))
      return 0
    }
    const here = process.cwd()
    const isHere = shares.some(({ path }) => here === path || here.startsWith(`${path}/`))
    const request: ExecRequest = {
      arch,
      command: named === undefined ? command : [named, ...command.slice(1)],
      env: (flags.env ?? []).flatMap((text) => readVariable(text, process.env) ?? []),
      user: flags.user ?? '',
      workingDirectory: flags.workdir === undefined ? (isHere ? here : '') : resolve('/', flags.workdir),
      hasTerminal: tty,
      kind: {
        arch,
        cpu: flags.cpu,
        memoryBytes: flags.memory,
        cpus: flags.cpus,
        kernel: flags.kernel,
        isRecorded: recordOnFailure !== undefined,
      },
      hasNetwork: flags.network === true,
      shares,
      modules: flags.module ?? [],
      record: recordOnFailure === undefined ? undefined : { path: resolve(recordOnFailure), arguments: given },
      timeoutMs: flags.timeout ?? Infinity,
      version: packageVersion(),
    }
    return await runExec(request, root, host)
  } finally {
    await root.close()
  }
}

/** Most runs need no images: what reads them is loaded for those that do. */
const openImage = async (path: string, architecture: string): Promise<ExecRoot> =>
  (await import('./image-root.ts')).openImageRoot(path, architecture)

async function openRoot(where: string, program: string | undefined): Promise<ExecRoot> {
  if (where === 'host') return openHostRoot(program === undefined ? [] : [program])
  return openFolderRoot(where)
}

/** The whole path of a program of the host that lies outside of the folders that guests see; undefined for others. */
export function programOfHost(name: string, path: string): string | undefined {
  const isFile = (file: string): boolean => statSync(file, { throwIfNoEntry: false })?.isFile() === true
  const isSeen = (file: string): boolean => HOST_PATHS.some((seen) => realpathSync(file).startsWith(`${seen}/`))
  if (name.includes('/')) return isFile(name) && !isSeen(name) ? resolve(name) : undefined
  if (name === '' || USUAL_PATH.split(':').some((folder) => isFile(join(folder, name)))) return undefined
  const found = path
    .split(':')
    .filter((folder) => folder.startsWith('/'))
    .map((folder) => join(folder, name))
    .find(isFile)
  return found
}

function explain(root: ExecRoot, flags: ExecFlags): string {
  const { share = [], module: modules = [], network = false, root: where, image, kernel } = flags
  return [
    'The program can read:',
    ...root.explanation.map((line) => `  ${line}`),
    ...(kernel === undefined ? [`  /lib/modules: the modules of Debian's kernel, which modprobe loads`] : []),
    ...modules.map((path) => `  /usr/lib/modules/retrap: ${path} (--module, which is loaded first)`),
    ...share.map(({ path, readOnly }) => `  ${path} (--share${readOnly ? '' : ', and write it'})`),
    `It is ${image !== undefined ? 'the image, and' : where === 'host' ? 'this host, and' : `the folder ${where}, and`} nothing else of the host is there.`,
    network ? 'It reaches the network of this host (--network).' : 'It reaches no network.',
    '',
  ].join('\n')
}
