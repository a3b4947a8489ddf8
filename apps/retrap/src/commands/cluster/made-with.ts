/** Identifies the parts that a plan was found with, or a run made with: with others the same seed and faults may lead elsewhere. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { ClusterDescription, PlacedMachine } from '@retrap/cluster'
import { pulledImages } from '@retrap/oci/node'
import { fetchKernelModules } from '@retrap/linux-guest/linux/debian-drivers'
import { digestOfGenerator } from '@retrap/linux-guest/machine/generator-digest'
import { pinnedName, pulledFolder, splitImage } from '@retrap/linux-guest/jobs/root'
import { packageVersion } from '../../package-version.ts'
import { parseSharedFolder } from '../../options/container-options.ts'

/** Of a larger file only the size counts. */
const MOST_BYTES = 256 << 20
/** Files of a shared folder that are looked at, and the bytes of one of them. */
const MOST_FILES = 1000
const MOST_SHARED_BYTES = 16 << 20
/** Folders in which a program without a path is looked for. */
const PLACES = ['', 'bin', 'usr/bin', 'usr/local/bin', 'usr/sbin', 'sbin']

/** The version of this program, and a digest of its packages. */
export function thisBuild(): string {
  const hash = createHash('sha256')
  for (const name of ['@retrap/machine', '@retrap/cluster']) hash.update(digestOfGenerator(name, import.meta.url))
  return `retrap ${packageVersion()} ${hash.digest('hex').slice(0, 12)}`
}

/** Names this build, the kernels of Linux guests, images of registries, and a digest of the programs. @param file - of the description */
export async function madeWith(file: string, description: ClusterDescription): Promise<string> {
  const guests = description.machines.filter(({ machine }) => machine === undefined)
  const kinds = new Set(guests.map(({ arch }) => (arch === 'arm64' ? arch : 'amd64')))
  const kernels = await Promise.all([...kinds].map((kind) => fetchKernelModules(kind, () => undefined)))
  const kept = await pulledImages(pulledFolder())
  const images = kept.filter(({ path }) => guests.some(({ image }) => image === path)).map(pinnedName)
  const programs = `programs ${digestOfPrograms(file, description)}`
  return [thisBuild(), ...kernels.map(({ release }) => `Linux ${release}`), ...images, programs].join(', ')
}

/** Returns a digest of all commands, and of the files of the host that they name. Shares may change with each run. */
export const digestOfPrograms = (file: string, description: ClusterDescription): string =>
  digestOf(Object.values(digestsOf(file, description, false)).join(' '))

/** Returns digests of the commands of each machine, and of the host's files that they name or that are shared, by paths. */
export function digestsOf(file: string, whole: ClusterDescription, hasShares: boolean): Record<string, string> {
  const { machines, workload } = whole
  const folder = dirname(resolve(file))
  const digests: Record<string, string> = {}
  for (const machine of machines) {
    const { setup = [], drivers = [], check = [] } = workload?.on === machine.name ? workload : {}
    const commands = Object.values(workload?.templates ?? {}).flat()
    const ofTemplates = commands.filter(({ on }) => on === machine.name).map(({ command }) => command)
    const { command, entrypoint = [], health } = machine
    const words = [entrypoint, command, health?.test ?? [], setup, ...drivers, check, ...ofTemplates].flat()
    digests[`commands of ${machine.name}`] = digestOf(words.join('\0'))
    const shared = hasShares ? sharesOf(machine, folder).flatMap(({ path }) => filesIn(path)) : []
    for (const path of [...filesOf(machine, words, folder), ...shared]) {
      const contents = contentsOf(path)
      if (contents !== undefined) digests[path] ??= digestOf(contents)
    }
  }
  return digests
}

const digestOf = (contents: string | Uint8Array): string =>
  createHash('sha256').update(contents).digest('hex').slice(0, 12)

/** Returns a file's contents, or the size of a large one; undefined for a word that names no file, such as a script of a shell. */
function contentsOf(path: string): string | Uint8Array | undefined {
  try {
    const state = statSync(path)
    return !state.isFile() ? undefined : state.size > MOST_BYTES ? `${state.size}` : readFileSync(path)
  } catch {
    return undefined
  }
}

/** Returns the files at a path, or below it. */
function filesIn(path: string, found: string[] = []): readonly string[] {
  try {
    const state = statSync(path)
    if (state.isFile() && state.size <= MOST_SHARED_BYTES) found.push(path)
    else if (state.isDirectory() && found.length < MOST_FILES)
      for (const entry of readdirSync(path, { withFileTypes: true }))
        if (entry.isFile() || entry.isDirectory()) filesIn(join(path, entry.name), found)
  } catch {
    // A folder that this user may not read is none for guests, either.
  }
  return found
}

const sharesOf = ({ share }: PlacedMachine, folder: string) =>
  share.map((text) => parseSharedFolder((text.startsWith('/') ? text : `${folder}/${text}`).replace(/:copy$/, '')))

/** Paths at which the host may have the files that a machine's commands name, its image, and the file of a machine of its own. */
function filesOf(place: PlacedMachine, words: readonly string[], folder: string) {
  const { image, root = '/', machine } = place
  const shares = sharesOf(place, folder)
  const named = words.flatMap((word): string[] => {
    const shared = shares.find(({ at }) => word.startsWith(`${at}/`))
    if (shared !== undefined) return [join(shared.path, word.slice(shared.at.length))]
    return image === undefined ? PLACES.map((place) => join(resolve(folder, root), place, word)) : []
  })
  const path = image && splitImage(resolve(folder, image)).path
  const images = path === undefined ? [] : [path, join(path, 'index.json')]
  return [...named, ...[...images, machine ?? []].flat().map((path) => resolve(folder, path))]
}
