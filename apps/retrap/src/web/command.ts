/** `retrap web`. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { CliError } from '../errors.ts'
import type { SessionHost } from '../session/host.ts'
import { type ListingOutput, printText } from '../print-lines.ts'
import { usage } from '../options/values.ts'
import { showFetchProgress } from '../files/fetch-progress.ts'
import {
  fetchDebianFiles,
  type MadeSystem,
  makeDebianSystem,
  makeSystems,
  SYSTEMS_LIST,
  systemsList,
} from './debian-system.ts'
import type { LinuxArchitecture } from '../linux/debian.ts'
import type { MoreFiles, SiteServer } from './server.ts'

/** Browsers keep what belongs to a site by its port: it is the same one each time, if it is free. */
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
}

/** Adds the command. */
export function addWeb(
  program: Command,
  host: Pick<SessionHost, 'stderr' | 'onSignal' | 'createMachine'> & { readonly stdout: ListingOutput },
): void {
  program
    .command('web')
    .description('Serve the site, with machines in web pages, on this computer, and open it')
    .option('--port <number>', `TCP port; 0: any (default: ${USUAL_PORT}, or any where it is taken)`, parsePort)
    .option(
      '--debian',
      'boot Debian first, amd64 and arm64, and offer both at their prompts; fetched once, through apt',
    )
    .option('--no-open', 'do not open a browser')
    .action(async ({ port, open, debian }: WebFlags) => {
      const { siteFolder } = await import('./server.ts')
      const folder = siteFolder()
      if (!existsSync(join(folder, 'index.html')))
        throw new CliError(
          'ERR_INPUT',
          `there is no site in ${folder}; build it: npx turbo run build --filter=@retrap/site`,
        )
      // A port that is taken is known before anything is fetched, or booted.
      const systems = new Map<string, Uint8Array>()
      const server = await start(folder, port, systems)
      try {
        if (debian === true) await addDebian(systems, host)
        await printText([`retrap: ${server.url} (Ctrl-C ends it)\n`], host.stdout)
      } catch (error) {
        server.close()
        throw error
      }
      if (open) openBrowser(server.url)
      await new Promise<void>((resolve) => {
        const stop = host.onSignal(() => {
          stop()
          resolve()
        })
      })
      server.close()
    })
}

function parsePort(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 0xffff) return port
  throw usage(`--port '${text}': expected a number from 0 to 65535`)
}

/** Boots Debian, and adds it to the files of the site. */
async function addDebian(
  files: Map<string, Uint8Array>,
  { stderr, createMachine }: Pick<SessionHost, 'stderr' | 'createMachine'>,
): Promise<void> {
  const make = async (architecture: LinuxArchitecture): Promise<MadeSystem> => {
    const shown = showFetchProgress()
    const linux = await fetchDebianFiles(architecture, shown.onProgress).finally(() => shown.stop('done'))
    stderr.write(`retrap: booting Debian's kernel ${linux.version}, for the start page …\n`)
    return makeDebianSystem(linux, createMachine)
  }
  const made = await makeSystems(['amd64', 'arm64'], make, (text) => void stderr.write(`retrap: ${text}\n`))
  for (const [name, bytes] of made.flatMap((one) => [...one.files])) files.set(name, bytes)
  files.set(SYSTEMS_LIST, systemsList(made.map(({ system }) => system)))
}

async function start(folder: string, port: number | undefined, more: MoreFiles): Promise<SiteServer> {
  // node:http, which no other command needs, takes longer to load than most of the program.
  const { serveSite } = await import('./server.ts')
  try {
    return await serveSite(folder, port ?? USUAL_PORT, more)
  } catch (error) {
    if (port === undefined) return serveSite(folder, 0, more)
    throw new CliError('ERR_INPUT', `--port ${port}: ${error instanceof Error ? error.message : error}`)
  }
}

/** Opens an address in the user's browser. Where there is none the user has the address. */
function openBrowser(url: string): void {
  const [name = 'xdg-open', ...args] = OPENERS[process.platform] ?? ['xdg-open']
  spawn(name, [...args, url], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref()
}
