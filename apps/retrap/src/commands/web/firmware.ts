import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DebianError, type DistributedPackage, fetchDistributed, findDistributed } from '@retrap/debian'
import { fetchShown } from '../../host/files/fetch-progress.ts'
import {
  LICENCE_TEXTS,
  listPackage,
  PACKAGES_LIST,
  packagesList,
  type ListedPackage,
  type SitePart,
} from './packages.ts'
import type { SiteFile } from './server.ts'

/** Path by which the start page finds out whether the site has firmware. */
export const FIRMWARE_LIST = 'firmware/firmware.json'

const FOLDER = 'usr/share/seabios'
const FILES = { firmware: 'bios-256k.bin', vgaBios: 'vgabios-stdvga.bin' }
const NAMES = Object.values(FILES)
const WANTED = [{ package: 'seabios', members: NAMES.map((name) => `./${FOLDER}/${name}`) }, LICENCE_TEXTS]

/** Paths of the files below the site: any other BIOS may be put at them. */
const PATHS = NAMES.map((name) => `firmware/${name}`)

/** Advice where the site has no firmware. */
const INSTEAD =
  "disks and CDs start in the site only with a BIOS that the user adds, such as bios-256k.bin of Debian's package seabios"

/** Addresses of a site's BIOS. */
export interface SiteFirmware {
  readonly firmware: string
  readonly vgaBios: string
}

/** SeaBIOS as part of the sites that this program makes. */
export const SITE_FIRMWARE: SiteFirmware = {
  firmware: `firmware/${FILES.firmware}`,
  vgaBios: `firmware/${FILES.vgaBios}`,
}

const firmwareList = (): Uint8Array => Buffer.from(JSON.stringify(SITE_FIRMWARE))

/** Lists SeaBIOS's two files, unmodified, with the texts that their licences require. */
async function listFirmware([seabios, licenceTexts]: readonly DistributedPackage[]): Promise<SitePart> {
  const bytes = await Promise.all(NAMES.map((name) => readFile(join(seabios!.folder, FOLDER, name))))
  const files = new Map(PATHS.map((path, i) => [path, bytes[i]!]))
  const purpose =
    'The BIOS, which starts disks and CDs, and the BIOS of the graphics card. Loaded when a machine needs them.'
  const part = await listPackage(seabios!, { purpose, files, licenceTexts: licenceTexts! })
  return { packages: part.packages, files: new Map<string, SiteFile>([...part.files, ...files]) }
}

/** Fetches SeaBIOS with its sources, for a published site. @returns null if the fetch fails, after a message */
export async function firmwareForOthers(tell: (text: string) => void): Promise<SitePart | null> {
  try {
    const found = await fetchShown((shown) => fetchDistributed(WANTED, { withSources: true, ...shown }))
    const { packages, files } = await listFirmware(found)
    return { packages, files: new Map([...files, [FIRMWARE_LIST, firmwareList()]]) }
  } catch (error) {
    if (!(error instanceof DebianError)) throw error
    tell(`THE SITE HAS NO BIOS: ${error.message}; ${INSTEAD}`)
    return null
  }
}

/** The source of SeaBIOS: the cache, or Debian. */
export interface FirmwareSource {
  /** Returns the firmware, with the texts of licences, if it is in the cache. */
  find(): Promise<readonly DistributedPackage[] | undefined>
  fetch(): Promise<readonly DistributedPackage[]>
}

const DEBIAN: FirmwareSource = {
  find: () => findDistributed(WANTED),
  fetch: () => fetchDistributed(WANTED),
}

/**
 * Adds SeaBIOS to a site that is served locally. If it is not cached, the first request for one of its files fetches it.
 *
 * @param files - the site's files
 * @param packages - the site's list of packages
 * @param tell - receives messages for the user
 */
export async function addLocalFirmware(
  files: Map<string, SiteFile>,
  packages: ListedPackage[],
  tell: (text: string) => void,
  source: FirmwareSource = DEBIAN,
): Promise<void> {
  const add = async (given: readonly DistributedPackage[]): Promise<void> => {
    const part = await listFirmware(given)
    for (const [path, file] of part.files) files.set(path, file)
    packages.push(...part.packages)
    files.set(PACKAGES_LIST, packagesList(packages))
  }
  const found = await source.find()
  if (found !== undefined) await add(found)
  else {
    let fetching: Promise<void> | undefined
    const fetchIt = async (): Promise<void> => {
      tell('fetching SeaBIOS from Debian, for a machine in a page')
      try {
        await add(await source.fetch())
      } catch (error) {
        // The next request tries again.
        fetching = undefined
        tell(`SeaBIOS cannot be fetched: ${error instanceof Error ? error.message : String(error)}`)
        throw error
      }
    }
    for (const path of PATHS)
      files.set(path, async () => {
        // A page asks for both files at once.
        fetching ??= fetchIt()
        await fetching
        return files.get(path) as Uint8Array
      })
  }
  files.set(FIRMWARE_LIST, firmwareList())
}
