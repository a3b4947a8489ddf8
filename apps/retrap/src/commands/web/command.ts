/** `retrap web`. */
import { spawn } from 'node:child_process'
import type { Command } from 'commander'
import { CliError } from '@retrap/linux-guest/errors'
import type { SessionHost } from '../../machine/session/session-host.ts'
import { type ListingOutput, printText } from '../../print-lines.ts'
import { usage } from '../../options/values.ts'
import { fetchShown } from '../../host/files/fetch-progress.ts'
import { fetchDebianFiles } from './debian-files.ts'
import type { LinuxArchitecture } from '@retrap/linux-guest/linux/debian'
import {
  listSystem,
  type MadeSystem,
  makeDebianSystem,
  makeSystems,
  type OfferedSystem,
  SYSTEMS_LIST,
  systemsList,
} from './debian-system.ts'
import { type ListedPackage, PACKAGES_LIST, packagesList, type SitePart } from './packages.ts'
import type { MoreFiles, SiteFile, SiteServer } from './server.ts'

/** Usual port of a served site. Browsers store a site's data by its port, so the port stays the same if it is free. */
const USUAL_PORT = 8064

/** Starts the program that the user's system opens addresses with. */
const OPENERS: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  darwin: ['open'],
  win32: ['cmd', '/c', 'start', ''],
}

interface WebFlags {
  readonly port?: number
  readonly open: boolean
  readonly debian?: boolean
  readonly desktop?: boolean
  readonly out?: string
  readonly recording?: string
  readonly allowHost?: readonly string[]
}

/** The parts of the process that the command uses. */
type WebHost = Pick<SessionHost, 'stderr' | 'onSignal' | 'createMachine'> & { readonly stdout: ListingOutput }

export function addWeb(program: Command, host: WebHost): void {
  program
    .command('web')
    .description('Serve the site, with machines in web pages, on this computer, and open it; or write it to a folder')
    .option('--port <number>', `TCP port; 0: any (default: ${USUAL_PORT}, or any where it is taken)`, parsePort)
    .option('--debian', 'boot Debian first, amd64 and arm64, and offer both at their prompts; fetched once')
    .option('--desktop', 'offer Debian with X and a game, and a game that is a kernel; fetched, and booted, once')
    .option(
      '--out <folder>',
      'write the site there, for any web server, with the sources that licences require; do not serve it',
    )
    .option(
      '--recording <file>',
      'open a recording in it, at its end: a file of --record-bundle, or the folder of a failing test; or the run of a cluster',
    )
    .option(
      '--allow-host <name...>',
      'answer to these names, too, as behind a proxy; without it to addresses and localhost alone',
    )
    .option('--no-open', 'do not open a browser')
    .action(async (flags: WebFlags) => {
      const { port, out, recording, allowHost } = flags
      if (out !== undefined && allowHost !== undefined)
        throw usage('--allow-host belongs to a site that is served; --out writes one')
      if (out !== undefined && port !== undefined)
        throw usage('--port belongs to a site that is served; --out writes one')
      if (out !== undefined && recording !== undefined)
        throw usage('--recording is opened in a site that is served; --out writes one')
      const { builtSite } = await import('./server.ts')
      const folder = builtSite()
      await (out === undefined ? serve(folder, flags, host) : write(folder, out, flags, host))
    })
}

/** Stand on the start page until Debian has booted. */
const BOOTING: OfferedSystem = {
  title: 'Debian amd64',
  description: "Debian's kernel with busybox, at its prompt.",
  boots: true,
  options: {},
}
const BOOTING_DESKTOP: OfferedSystem = { ...BOOTING, title: 'Debian with X', description: 'A desktop with a game.' }

/** Serves the site until the process is asked to end. */
async function serve(
  folder: string,
  { port, open, recording, allowHost = [], ...flags }: WebFlags,
  host: WebHost,
): Promise<void> {
  const tell = (text: string): void => void host.stderr.write(`retrap: ${text}\n`)
  // A port that is taken is reported before a file is fetched, or a guest booted.
  const files = new Map<string, SiteFile>()
  const { addRecording } = await import('./recordings.ts')
  const hash = recording === undefined ? '' : (await addRecording(files, recording)).hash
  const server = await start(
    folder,
    port,
    files,
    allowHost.map((name) => name.toLowerCase()),
  )
  const url = `${server.url}${hash}`
  try {
    const offer = async (): Promise<void> => {
      await printText([`retrap: ${url} (Ctrl-C ends it)\n`], host.stdout)
      if (open) openBrowser(url)
    }
    const packages: ListedPackage[] = []
    const booting = [...(flags.debian === true ? [BOOTING] : []), ...(flags.desktop === true ? [BOOTING_DESKTOP] : [])]
    if (booting.length > 0) {
      files.set(SYSTEMS_LIST, systemsList(booting))
      await offer()
      packages.push(...(await addSystems(files, host, flags, false)))
    }
    files.set(PACKAGES_LIST, packagesList(packages))
    const { addLocalFirmware } = await import('./firmware.ts')
    await addLocalFirmware(files, packages, tell)
    if (booting.length === 0) await offer()
  } catch (error) {
    server.close()
    throw error
  }
  await new Promise<void>((resolve) => {
    const stop = host.onSignal(() => {
      stop()
      resolve()
    })
  })
  server.close()
}

/** Writes the site to a folder, for publication. */
async function write(folder: string, out: string, flags: WebFlags, host: WebHost): Promise<void> {
  const { checkTarget, siteSizes, writeSite } = await import('./static-site.ts')
  // Reported before a file is fetched, or a guest booted.
  await checkTarget(out)
  const files = new Map<string, SiteFile>()
  const packages = [...(await addSystems(files, host, flags, true))]
  const { firmwareForOthers } = await import('./firmware.ts')
  const firmware = await firmwareForOthers((text) => void host.stderr.write(`retrap: ${text}\n`))
  for (const [path, file] of firmware?.files ?? []) files.set(path, file)
  packages.push(...(firmware?.packages ?? []))
  files.set(PACKAGES_LIST, packagesList(packages))
  await writeSite(folder, files, out)
  await printText(
    [`retrap: the site is in ${out}\n`, ...(await siteSizes(out)).map((line) => `${line}\n`)],
    host.stdout,
  )
}

function parsePort(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 0xffff) return port
  throw usage(`--port '${text}': expected a number from 0 to 65535`)
}

type SystemsHost = Pick<SessionHost, 'stderr' | 'createMachine'>

/**
 * Boots the systems that were requested, and adds them to the files of the site.
 *
 * @param withSources - fetches the sources that redistribution requires
 * @returns the packages that the systems are made of
 */
async function addSystems(
  files: Map<string, SiteFile>,
  host: SystemsHost,
  { debian, desktop }: Pick<WebFlags, 'debian' | 'desktop'>,
  withSources: boolean,
): Promise<readonly ListedPackage[]> {
  const packages: ListedPackage[] = []
  const systems: OfferedSystem[] = []
  const add = ({ files: made, packages: listed }: SitePart, offered: readonly OfferedSystem[]): void => {
    for (const [name, file] of made) files.set(name, file)
    packages.push(...listed)
    systems.push(...offered)
  }
  if (debian === true) {
    const make = async (architecture: LinuxArchitecture): Promise<MadeSystem> => {
      const linux = await fetchShown(({ onProgress }) => fetchDebianFiles(architecture, { withSources, onProgress }))
      host.stderr.write(`retrap: booting Debian's kernel ${linux.version}, for the start page …\n`)
      const made = await makeDebianSystem(linux, host.createMachine)
      const listed = await listSystem(made, linux)
      add({ ...listed, files: new Map([...listed.files, ...made.files]) }, [made.system])
      return made
    }
    await makeSystems(['amd64', 'arm64'], make, (text) => void host.stderr.write(`retrap: ${text}\n`))
    if (desktop === true) files.set(SYSTEMS_LIST, systemsList([...systems, BOOTING_DESKTOP]))
  }
  if (desktop === true) {
    const { desktopPart } = await import('./desktop.ts')
    const { part, offered } = await desktopPart(host, withSources)
    add(part, offered)
  }
  if (systems.length > 0) files.set(SYSTEMS_LIST, systemsList(systems))
  return packages
}

async function start(
  folder: string,
  port: number | undefined,
  more: MoreFiles,
  names: readonly string[],
): Promise<SiteServer> {
  // node:http, which no other command needs, takes longer to load than most of the program.
  const { serveSite } = await import('./server.ts')
  try {
    return await serveSite(folder, port ?? USUAL_PORT, more, names)
  } catch (error) {
    if (port === undefined) return serveSite(folder, 0, more, names)
    throw new CliError('ERR_INPUT', `--port ${port}: ${error instanceof Error ? error.message : error}`)
  }
}

/** Opens an address in the user's browser. Errors are ignored, as the address is also printed. */
function openBrowser(url: string): void {
  const [name = 'xdg-open', ...args] = OPENERS[process.platform] ?? ['xdg-open']
  spawn(name, [...args, url], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref()
}
