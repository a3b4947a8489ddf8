/** The command line of `retrap exec`, carried out: in its own process, or in one that stays. */
import { shownPull } from '../../host/files/shown-pull.ts'
import { realpathSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type ReleaseName, USUAL_RELEASE } from '@retrap/debian'
import { explainError } from '../../errors.ts'
import { packageVersion } from '../../package-version.ts'
import { plainListed } from '../../print-lines.ts'
import { usage } from '../../options/values.ts'
import { ExecError } from '@retrap/linux-guest/jobs/errors'
import type { SharedFolder } from '@retrap/linux-guest/jobs/job'
import { readVariable, readVariables } from '../../options/container-options.ts'
import { HOST_PATHS, openFolderRoot, openHostRoot } from '@retrap/linux-guest/jobs/host-root'
import { isWithin, type ShownHost, shownHost } from '@retrap/linux-guest/jobs/visible-folder'
import { USUAL_PATH } from '@retrap/linux-guest/jobs/program'
import type { ExecRoot } from '@retrap/linux-guest/jobs/root'
import { ARCHITECTURES, type ExecCall, type ExecFlags, OURS } from './flags.ts'
import { type ExecHost, type ExecRequest, type MakeGuest, runExec } from './run.ts'

/**
 * Runs the program of a command line.
 *
 * @param make - makes the guest; default: from the kept machine's file
 * @returns the exit code
 */
export async function perform(call: ExecCall, host: ExecHost, make?: MakeGuest): Promise<number> {
  try {
    return await act(call, host, make)
  } catch (error) {
    const known = error instanceof ExecError ? { message: error.message } : explainError(error)
    if (known === undefined) throw error
    host.stderr.write(`retrap: ${known.message}\n`)
    return error instanceof ExecError ? error.exitCode : OURS
  }
}

const MOST_SHARES = 16

/** Runs the program of a command line. @throws ExecError, CliError */
export async function act(
  { words: command, flags, given }: ExecCall,
  host: ExecHost,
  make?: MakeGuest,
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
  const path = host.env['PATH'] ?? ''
  const shown = image === undefined && where === 'host' ? shownHost(path, flags.hide ?? []) : undefined
  if (shown === undefined && flags.hide !== undefined)
    throw usage('--hide belongs to the files of this host; leave out --image and --root')
  const named = shown && programOfHost(name, path, shown, host.cwd)
  const opened =
    image !== undefined
      ? await openImage(image, arch, flags)
      : where === 'host'
        ? await openHostRoot(named === undefined ? [] : [named], shown, path)
        : openFolderRoot(where)
  const root =
    entrypoint === undefined ? opened : { ...opened, config: { ...opened.config, entrypoint: [], command: [] } }
  try {
    if (flags.explain === true) {
      host.stdout.write(explain(root, shares, flags))
      return 0
    }
    const here = host.cwd
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
      env: variables.flatMap((text) => readVariable(text, host.env) ?? []),
      user: flags.user ?? '',
      workingDirectory: folder === undefined ? (isHere ? here : '') : resolve('/', folder),
      terminal: tty ? (host.env['TERM'] ?? 'xterm') : undefined,
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
    return await runExec(request, root, host, make)
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
  const { openImageRoot } = await import('@retrap/linux-guest/jobs/root')
  const signal = timeout === undefined ? undefined : AbortSignal.timeout(Math.min(timeout, 2 ** 31 - 1))
  return openImageRoot(image, architecture, { policy: pull, signal, shown: shownPull }).catch((error: unknown) => {
    if (signal?.aborted !== true) throw error
    throw new ExecError(124, `${image} was not pulled in ${timeout! / 1000} s (--timeout)`)
  })
}

/** The whole path of a program of the host that lies outside of the folders that guests see; undefined for others. */
function programOfHost(name: string, path: string, { folders }: ShownHost, here: string): string | undefined {
  const isFile = (file: string): boolean => statSync(file, { throwIfNoEntry: false })?.isFile() === true
  const isSeen = (file: string): boolean =>
    [...HOST_PATHS, ...folders].some((seen) => isWithin(realpathSync(file), seen))
  const own = resolve(here, name)
  if (name.includes('/')) return isFile(own) && !isSeen(own) ? own : undefined
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
