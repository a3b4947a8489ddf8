/** `retrap site`. */
import { globSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Command } from 'commander'
import { CliError, troubled } from '@retrap/linux-guest/errors'
import type { SessionHost } from '../../machine/session/session-host.ts'
import { asIs, parseSeconds, usage } from '../../options/values.ts'
import { type ListingOutput, printText } from '../../print-lines.ts'
import type { OfferedSystem } from '../web/debian-system.ts'
import type { SiteFirmware } from '../web/firmware.ts'
import type { SitePart } from '../web/packages.ts'
import type { SiteFile } from '../web/server.ts'
import type { SiteImage, SiteMachine } from './machine.ts'
import { type PromptOptions, type RunCommand, runToPrompt } from './prompt.ts'

const HELP = `
The machine is booted here, until it prints the text of --ready or, without it, waits at a prompt. The page goes on from there at
once; a page with recordings lists them first, with what has failed, and when. Files of the machine are those that its file names; their copies are in the folder "machine", and disks are as the guest has
left them at that instant. All that is in the guest's memory is in the site, too: give it no secrets.

A page has no folders, programs, devices and networks of this host. A machine with any of them is refused.`

/** The folder of the machine, below the site. */
const FOLDER = 'machine'

/** A note for the user who serves the folder. */
const README = `This is a machine in a page, written by retrap site. Serve the folder by any static web server, at any path.

No headers are needed. Pages that are cross-origin isolated have shared memory and an exact clock; the site's service worker sees to
that, on its first visit, where the page comes by https or from localhost. A server that sends these headers spares it a reload:

    Cross-Origin-Opener-Policy: same-origin
    Cross-Origin-Embedder-Policy: require-corp

A server should answer requests for ranges, and not compress machine/: the page fetches what the guest needs, as it needs it.
`

interface SiteFlags {
  readonly machine?: string
  readonly desktop?: boolean
  readonly out: string
  readonly ready?: string
  readonly recording?: readonly string[]
  readonly failures?: string
  readonly timeout: number
}

/** The parts of the process that the command uses. */
type SiteHost = Pick<SessionHost, 'stderr' | 'onSignal' | 'createMachine'> & { readonly stdout: ListingOutput }

export function addSite(program: Command, host: SiteHost, run: RunCommand): void {
  program
    .command('site')
    .description(
      'Write a static site that opens a machine at its prompt, and recordings, such as those of failing tests',
    )
    .option('--machine <file>', 'the machine.json, as `retrap run` takes it; without it the site has recordings alone')
    .option('--desktop', 'offer Debian with X and a game, and a game that is a kernel, with their sources')
    .requiredOption('--out <folder>', 'write the site there; an earlier site is replaced')
    .option('--ready <text>', 'the end of the boot: a text that the first serial port prints')
    .option(
      '--recording <file>',
      'a recording that the page can open: a file of --record-bundle, the run of a cluster, or the folder of a failing test (repeatable)',
      asIs,
    )
    .option(
      '--failures <folder>',
      'the recordings of all failing tests in it, if there are any: the folder of `retrap test --out`',
    )
    .option('--timeout <time>', 'give up when it has not come to its prompt by then', parseTimeout, 300)
    .addHelpText('after', HELP)
    .action(async (flags: SiteFlags) => {
      const lines = await makeSite(flags, host, run)
      await printText(lines, host.stdout)
    })
}

function parseTimeout(text: string): number {
  return parseSeconds('--timeout', '300 or 5m', 1, 86_400)(text) / 1000
}

/** Makes the site. @returns lines for the user */
async function makeSite(flags: SiteFlags, host: SiteHost, run: RunCommand): Promise<readonly string[]> {
  const { machine: path, out, ready, timeout } = flags
  const { builtSite } = await import('../web/server.ts')
  const { checkTarget, siteSizes, writeSite } = await import('../web/static-site.ts')
  const { addRecording } = await import('../web/recordings.ts')
  const { PACKAGES_LIST, packagesList } = await import('../web/packages.ts')
  const { SYSTEMS_LIST, systemsList } = await import('../web/debian-system.ts')
  const { SITE_FIRMWARE } = await import('../web/firmware.ts')
  const { readSiteMachine } = await import('./machine.ts')
  const folder = builtSite()
  // Mistakes are reported before a guest is booted.
  await checkTarget(out)
  const machine = path === undefined ? undefined : await readSiteMachine(path)
  const files = new Map<string, SiteFile>([['README.txt', Buffer.from(README)]])
  const recordings: Awaited<ReturnType<typeof addRecording>>[] = []
  for (const { given, title } of recordingsOf(flags)) {
    recordings.push(await addRecording(files, given, { title, refusesNamed: true }))
  }
  if (machine === undefined && recordings.length === 0 && flags.desktop !== true)
    throw usage('a site needs --machine, --desktop, --recording, or --failures with recordings in it')
  const bios = machine?.needsBios === true ? await biosFor(path!, host) : undefined
  for (const [name, file] of bios?.files ?? []) files.set(name, file)
  const scratch = await scratchBeside(out)
  try {
    const systems: OfferedSystem[] = recordings.map(({ system }) => system)
    if (machine !== undefined) {
      const bytes = await addMachine(files, machine, { scratch, prompt: { ready, timeoutSeconds: timeout }, host, run })
      // With recordings the page opens with their list, which includes failed runs.
      const opens = recordings.length === 0
      const options = pageOptions(machine, SITE_FIRMWARE)
      systems.unshift({ title: titleOf(path!), description: 'At its prompt.', bytes, opens, options })
    }
    const packages = [...(bios?.packages ?? [])]
    if (flags.desktop === true) {
      const { desktopPart } = await import('../web/desktop.ts')
      const { part, offered } = await desktopPart(host, true)
      for (const [name, file] of part.files) files.set(name, file)
      packages.push(...part.packages)
      systems.push(...offered)
    }
    files.set(SYSTEMS_LIST, systemsList(systems))
    files.set(PACKAGES_LIST, packagesList(packages))
    await writeSite(folder, files, out)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
  const has = [
    ...(recordings.length > 0 ? ['lists its recordings'] : []),
    ...(path === undefined ? [] : [`${recordings.length > 0 ? 'offers' : 'opens'} ${titleOf(path)} at its prompt`]),
    ...(flags.desktop === true ? ['offers Debian with X, and Invaders'] : []),
  ]
  return [
    `retrap: the site is in ${out}; it ${has.join(', and ')}\n`,
    ...recordings.map(({ system, hash }) => `retrap: the recording ${system.title} is opened by index.html${hash}\n`),
    ...(await siteSizes(out)).map((line) => `${line}\n`),
  ]
}

const titleOf = (path: string): string => basename(path).replace(/\.json$/i, '')

/** The recordings that the site gets. A recording in the folder of failures is named after its file of tests and its test. */
function recordingsOf({ recording = [], failures }: SiteFlags): { readonly given: string; readonly title: string }[] {
  const below = failures === undefined ? [] : globSync('**/run.recording', { cwd: failures }).toSorted()
  return [
    ...recording.map((given) => ({ given, title: basename(resolve(given)) })),
    ...below.map((path) => ({ given: join(failures ?? '', dirname(path)), title: dirname(path).replaceAll(sep, '-') })),
  ]
}

/** A folder that is gone at the end, on the file system of the site. */
async function scratchBeside(out: string): Promise<string> {
  const parent = dirname(resolve(out))
  const refuse = troubled(`--out ${out}`, 'write')
  await mkdir(parent, { recursive: true }).catch(refuse)
  return mkdtemp(join(parent, `.${basename(resolve(out))}-`)).catch(refuse)
}

/** The BIOS that restarts the machine after a reset, with its sources. @throws CliError where it cannot be fetched */
async function biosFor(path: string, { stderr }: SiteHost): Promise<SitePart> {
  const { firmwareForOthers } = await import('../web/firmware.ts')
  const part = await firmwareForOthers((text) => void stderr.write(`retrap: ${text}\n`))
  if (part === null) throw new CliError('ERR_INPUT', `${path}: a BIOS starts its disk; give a kernel, or firmware`)
  return part
}

/** The work of {@link addMachine}. */
interface Boot {
  /** A folder for copies. */
  readonly scratch: string
  readonly prompt: PromptOptions
  readonly host: SiteHost
  readonly run: RunCommand
}

/** Boots the machine on copies of its disks, and adds it to the site at its prompt. @returns the snapshot's size */
async function addMachine(
  files: Map<string, SiteFile>,
  machine: SiteMachine,
  { scratch, prompt, host, run }: Boot,
): Promise<number> {
  const { bytesSource, readSnapshot, writeSnapshot } = await import('@retrap/snapshot')
  const pathOf = ({ name, path, isDisk }: SiteImage): string => (isDisk ? join(scratch, name) : resolve(path))
  for (const image of machine.images) {
    if (!image.isDisk) {
      files.set(`${FOLDER}/${image.name}.gz`, async () => gzipSync(await readFile(pathOf(image))))
      continue
    }
    files.set(`${FOLDER}/${image.name}`, { path: pathOf(image) })
    host.stderr.write(`retrap: copying ${image.path} …\n`)
    await cp(image.path, pathOf(image)).catch(troubled(image.path))
  }
  host.stderr.write('retrap: booting the machine, up to its prompt …\n')
  const saved = join(scratch, 'saved')
  const args = [...machine.argumentsFor(pathOf), '--save-on-exit', saved]
  const printed = await runToPrompt(args, prompt, host, run)
  const content = await readFile(saved).catch(troubled(`the machine was not saved`))
  const { state, pages } = await readSnapshot(bytesSource(content))
  const { options, network } = machine
  // Names of this host's folders stay here.
  const description = {
    version: 1,
    arguments: machine.argumentsFor(({ name }) => name),
    savedAt: new Date().toISOString(),
    page: { ...options, ...(network !== undefined && { network: { kind: 'none', ...network } }) },
  }
  const parts: Uint8Array[] = []
  // The page replays the terminal's output.
  const shown = { ...(state as object), console: Buffer.from(printed, 'latin1') }
  await writeSnapshot({ description, state: shown, pages }, (piece) => parts.push(piece))
  const snapshot = Buffer.concat(parts)
  files.set(`${FOLDER}/machine.snapshot`, snapshot)
  return snapshot.length
}

/** Options of the page's machine; addresses are relative to the page. */
function pageOptions(
  { options, images, drives, network, needsBios }: SiteMachine,
  { firmware, vgaBios }: SiteFirmware,
): Readonly<Record<string, unknown>> {
  const single = images.filter(({ name }) => drives.every(({ image }) => image?.name !== name))
  return {
    ...options,
    snapshot: `${FOLDER}/machine.snapshot`,
    ...(needsBios && { firmware, ...(options['vga'] === 'std' && { vgaBios }) }),
    ...Object.fromEntries(single.map(({ name }) => [name, `${FOLDER}/${name}.gz#gzip`])),
    ...(drives.length > 0 && {
      drives: drives.map(({ image, ...drive }) => ({ ...drive, source: image && `${FOLDER}/${image.name}` })),
    }),
    ...(network !== undefined && { network: { kind: 'fetch' } }),
  }
}
