import { useEffect, useRef, useState } from 'preact/hooks'
import { Alert, DropPlace, FileButton } from './controls.tsx'
import type { MachineJsonProps } from './machine-json-text.tsx'
import type { BroughtMachine } from './machine-json.ts'
import { messageOf, prepareWorker } from './machine-life.ts'
import {
  type Chosen,
  type ChosenImage,
  fromHash,
  machineOptions,
  needsFirmware,
  problemOf,
  type Role,
  ROLES,
  type Settings,
  type SiteFirmware,
  toHash,
  withImage,
} from './settings.ts'
import { Recordings, useOffered, useSystems } from './systems.tsx'
import { Fetched, KeptDisks, Unfolding } from './unfolding.tsx'
import travelled from './travel.svg'

/** The guest of this project: a firmware image beside the page. */
const EMBEDDED: Chosen = {
  title: 'The embedded guest',
  options: { firmware: 'guest.bin', memoryBytes: 32 << 20, vga: 'none' },
}

/** State that survives a reload of the page, besides its address. Links do not contain it. */
interface PageState {
  readonly keep: boolean
}

const keepsHere = (): boolean => (history.state as PageState | null)?.keep === true

/** The introduction, and the form for choosing a machine. */
export function StartPage({ start }: { start: (chosen: Chosen) => void }) {
  const [settings, setSettings] = useState(() => ({ ...fromHash(location.hash), keep: keepsHere() }))
  const [error, setError] = useState('')
  const [refused, setRefused] = useState<readonly string[]>([])
  const [brought, showBrought] = useState<BroughtMachine | null>(null)
  // Reading files takes time: the user goes on meanwhile.
  const latest = useRef(settings)
  const waiting = useRef(brought)
  const setBrought = (machine: BroughtMachine | null): void => {
    waiting.current = machine
    showBrought(machine)
  }
  const change = (part: Partial<Settings>): void => {
    const next = { ...latest.current, ...part }
    latest.current = next
    setSettings(next)
    setBrought(null)
    // The address of this page is that of the machine.
    history.replaceState({ keep: next.keep } satisfies PageState, '', toHash(next) || location.pathname)
  }
  /** Takes a machine's file, with files that it may name. */
  const bring = async (text: string, files: readonly File[] = []): Promise<void> => {
    const found = await bringMachine(text, () => {
      const chosen = latest.current.images.flatMap(({ source }) => (typeof source === 'string' ? [] : [source]))
      return [...files, ...chosen]
    })
    if ('brought' in found) setBrought(found.brought)
    else change(found.settings)
  }
  /** Adds files: a machine file with its files, or images. */
  const add = async (files: readonly File[]): Promise<void> => {
    const machine = files.find(({ name }) => /\.json$/i.test(name))
    if (machine !== undefined) return bring(await machine.text(), files)
    const { examine } = await import('./image-kind.ts')
    const examined = await Promise.all(files.map(examine))
    const found = examined.flatMap((one) => ('role' in one ? [one] : []))
    setRefused(examined.flatMap((one) => ('refused' in one ? [one.refused] : [])))
    // A machine's file may have come since.
    const machineNow = waiting.current
    change({ images: found.reduce<readonly ChosenImage[]>(withImage, latest.current.images) })
    if (machineNow !== null && machineNow.error === '') await bring(machineNow.text, files)
  }
  useEffect(() => void prepareWorker(), [])
  const offered = useOffered()
  const failed = (thrown: unknown): void => setError(messageOf(thrown))
  const { main, others } = useSystems({ start, offered, embedded: EMBEDDED, failed })
  const own = useSiteFirmware(needsFirmware(settings))
  const problem = problemOf(settings, own)
  return (
    <>
      <Recordings offered={offered} start={start} />
      <section class="hero" aria-labelledby="why">
        <div>
          <h1 id="why">A 64-bit PC in this tab, with a way back in time</h1>
          {main}
        </div>
        <figure>
          <img
            src={travelled}
            width={916}
            height={560}
            alt="A terminal in the past: pid 108, sh, wrote panic_timeout. Below is that instruction, and a time line."
          />
          <figcaption class="soft">Go back to who wrote a byte: the process, the function, the instruction.</figcaption>
        </figure>
      </section>
      {error !== '' && <Alert>{error}</Alert>}
      {others}
      <section aria-labelledby="own">
        <h2 id="own">A system of yours</h2>
        <div class="panel">
          <Images settings={settings} change={change} add={add} />
          {refused.length > 0 && (
            <Alert>
              {refused.join(' ')} A machine takes a kernel with its initial RAM disk, a disk, a CD, a floppy disk or
              firmware, or a recording.
            </Alert>
          )}
          <form
            onSubmit={(event) => {
              event.preventDefault()
              if (problem === null) start(chosenOf(settings, own))
            }}
          >
            {settings.images.length > 0 && (
              <div class="actions">
                <button class="primary" type="submit" disabled={problem !== null}>
                  Start
                </button>
                <span class="soft" role="status">
                  {problem ?? (needsFirmware(settings) && "This site's BIOS starts it.")}
                </span>
              </div>
            )}
            {settings.images.some(({ role }) => role === 'disk') && (
              <label class="check">
                <input
                  type="checkbox"
                  checked={settings.keep}
                  onChange={(event) => change({ keep: event.currentTarget.checked })}
                />
                Keep what the guest writes to disks in this browser. Such a machine has no snapshots.
              </label>
            )}
            <Unfolding
              summary="Options: memory, processors, board, network"
              load={async () => (await import('./machine-fields.tsx')).Fields}
              content={{ settings, change }}
            />
          </form>
          <Unfolding
            summary="An image at an address"
            load={async () => (await import('./machine-fields.tsx')).Address}
            content={{ add: (image) => change({ images: withImage(latest.current.images, image) }) }}
          />
          <MachineJsonPanel settings={settings} brought={brought} bring={(text) => void bring(text)} />
          <KeptDisks />
          <Fetched />
        </div>
      </section>
      <p class="soft foot">
        Everything runs in this page: files stay on your computer. Nothing is fetched but the addresses you give, and
        what a guest asks for whose network card you connect. <a href="tools.html">Tools without a machine</a>:
        disassembler, Arm syndromes. <a href="about.html">About this site</a>: licences, and what is from Debian. Tested
        in Chromium, Firefox and Safari's engine.
      </p>
    </>
  )
}

/** Returns the site's firmware once needed; null: none; undefined: not looked up yet. */
function useSiteFirmware(isNeeded: boolean): SiteFirmware | null | undefined {
  const [found, setFound] = useState<SiteFirmware | null>()
  useEffect(() => {
    if (!isNeeded || found !== undefined) return
    fetch('firmware/firmware.json')
      .then(async (response) => (response.ok ? ((await response.json()) as SiteFirmware | null) : null))
      .then(setFound, () => setFound(null))
  }, [isNeeded])
  return found
}

const nameOf = (source: File | string): string => (typeof source === 'string' ? source : source.name)

function titleOf({ images }: Settings): string {
  const first = images.find(({ role }) => role !== 'firmware' && role !== 'vgaBios') ?? images[0]
  return first === undefined ? 'A machine' : nameOf(first.source).replace(/^.*\//, '')
}

function chosenOf(settings: Settings, own: SiteFirmware | null | undefined): Chosen {
  const cluster = settings.images.find(({ role }) => role === 'cluster')?.source
  return {
    title: titleOf(settings),
    options: machineOptions(settings, own),
    ...(cluster !== undefined && { cluster }),
  }
}

interface ImagesProps {
  readonly settings: Settings
  readonly change: (part: Partial<Settings>) => void
  readonly add: (files: readonly File[]) => Promise<void>
}

/** The files and addresses that were chosen, and where more files are added. */
function Images({ settings: { images }, change, add }: ImagesProps) {
  return (
    <>
      <DropPlace take={(files) => void add(files)}>
        <p>
          <strong>
            Drop a kernel, a disk, a CD image, firmware, a recording, a cluster's run or a machine.json here
          </strong>
          , or
        </p>
        <FileButton many="files" take={(_, files) => void add(files)}>
          choose files
        </FileButton>
      </DropPlace>
      <ul class="files" aria-label="Chosen images">
        {images.map((image, i) => (
          <li key={`${i} ${nameOf(image.source)}`}>
            <span class="name">{nameOf(image.source)}</span>
            <select
              aria-label={`What ${nameOf(image.source)} is`}
              value={image.role}
              onChange={(event) => {
                const role = event.currentTarget.value as Role
                change({ images: images.map((one, at) => (at === i ? { ...one, role } : one)) })
              }}
            >
              {ROLES.map(([value, name]) => (
                <option value={value}>{name}</option>
              ))}
            </select>
            <button
              aria-label={`Remove ${nameOf(image.source)}`}
              onClick={() => change({ images: images.filter((_, at) => at !== i) })}
            >
              Remove
            </button>
          </li>
        ))}
      </ul>
    </>
  )
}

/**
 * Reads a machine's file.
 *
 * @param filesOf - returns the files that the machine may name; called last, because it loads further code
 * @returns the settings, or why they are incomplete
 */
async function bringMachine(
  text: string,
  filesOf: () => readonly File[],
): Promise<{ readonly settings: Settings } | { readonly brought: BroughtMachine }> {
  try {
    const { fromMachineJson } = await import('./machine-json.ts')
    const { settings, missing } = fromMachineJson(text, filesOf())
    if (missing.length === 0) return { settings }
    return { brought: { text, missing, error: '' } }
  } catch (error) {
    return { brought: { text, missing: [], error: messageOf(error) } }
  }
}

/** The form's machine as a file for `retrap run machine.json`, loaded on demand. */
function MachineJsonPanel(props: MachineJsonProps) {
  const { brought, bring } = props
  // Handles text pasted outside of input fields.
  useEffect(() => {
    const paste = (event: ClipboardEvent): void => {
      const given = event.clipboardData?.getData('text/plain') ?? ''
      if ((event.target as Element).closest('input, textarea') === null && given.trimStart().startsWith('{'))
        bring(given)
    }
    document.addEventListener('paste', paste)
    return () => document.removeEventListener('paste', paste)
  }, [bring])
  return (
    <Unfolding
      summary="This machine as JSON, for the command line"
      load={async () => (await import('./machine-json-text.tsx')).MachineJsonText}
      content={props}
      opens={brought}
    />
  )
}
