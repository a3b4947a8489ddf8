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
import { type ListedPackage, PACKAGES_LIST, packagesList } from './packages.ts'
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

/** Stands on the start page until Debian has booted. */
const BOOTING: OfferedSystem = {
  title: 'Debian amd64',
  description: "Debian's kernel with busybox, at its prompt.",
  boots: true,
  options: {},
}

/** Serves the site until the process is asked to end. */
async function serve(
  folder: string,
  { port, open, debian, recording, allowHost = [] }: WebFlags,
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
    if (debian === true) {
      files.set(SYSTEMS_LIST, systemsList([BOOTING]))
      await offer()
      packages.push(...(await addDebian(files, host, false)))
    }
    files.set(PACKAGES_LIST, packagesList(packages))
    const { addLocalFirmware } = await import('./firmware.ts')
    await addLocalFirmware(files, packages, tell)
    if (debian !== true) await offer()
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
async function write(folder: string, out: string, { debian }: WebFlags, host: WebHost): Promise<void> {
  const { checkTarget, siteSizes, writeSite } = await import('./static-site.ts')
  // Reported before a file is fetched, or a guest booted.
  await checkTarget(out)
  const files = new Map<string, SiteFile>()
  const packages = debian === true ? [...(await addDebian(files, host, true))] : []
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

/**
 * Boots Debian, and adds it to the files of the site.
 *
 * @param withSources - fetches the sources that redistribution requires
 * @returns the packages that the systems are made of
 */
async function addDebian(
  files: Map<string, SiteFile>,
  { stderr, createMachine }: Pick<SessionHost, 'stderr' | 'createMachine'>,
  withSources: boolean,
): Promise<readonly ListedPackage[]> {
  const packages: ListedPackage[] = []
  const make = async (architecture: LinuxArchitecture): Promise<MadeSystem> => {
    const linux = await fetchShown(({ onProgress }) => fetchDebianFiles(architecture, { withSources, onProgress }))
    stderr.write(`retrap: booting Debian's kernel ${linux.version}, for the start page …\n`)
    const made = await makeDebianSystem(linux, createMachine)
    const listed = await listSystem(made, linux)
    for (const [name, file] of [...listed.files, ...made.files]) files.set(name, file)
    packages.push(...listed.packages)
    return made
  }
  const made = await makeSystems(['amd64', 'arm64'], make, (text) => void stderr.write(`retrap: ${text}\n`))
  files.set(SYSTEMS_LIST, systemsList(made.map(({ system }) => system)))
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
