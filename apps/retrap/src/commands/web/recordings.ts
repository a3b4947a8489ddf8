/** Recordings that a site has. */
import { basename, resolve } from 'node:path'
import type { ClusterRun } from '@retrap/cluster'
import type { BundleNotes } from '@retrap/machine'
import { CliError } from '@retrap/linux-guest/errors'
import { recordingIn } from '@retrap/linux-guest/host/files'
import { checkNamedImages, fileSource, readRecordingNotes } from '../../machine/recording/recorded-file.ts'
import type { OfferedSystem } from './debian-system.ts'
import type { SiteFile } from './server.ts'

/** Options for a recording within a site. */
export interface RecordingOptions {
  /** Name of the recording in the site; default: the name of the file or folder. */
  readonly title?: string
  /** Whether a recording with images outside its file is refused. Default false: the images are served beside it. */
  readonly refusesNamed?: boolean
}

/** The file of a cluster's run begins so. */
const RUN_FILE = 'run.json\0'

/** Reads the run of a cluster. @returns undefined for another file @throws CliError `ERR_INPUT` for a damaged one */
async function readClusterRun(path: string): Promise<ClusterRun | undefined> {
  const file = await fileSource(path)
  try {
    const begin = await file.read(0, RUN_FILE.length)
    if (Buffer.from(begin).toString('latin1') !== RUN_FILE) return undefined
    const { ClusterError, ClusterRunFile } = await import('@retrap/cluster')
    try {
      return (await ClusterRunFile.open(file, path)).run
    } catch (error) {
      throw error instanceof ClusterError ? new CliError('ERR_INPUT', error.message) : error
    }
  } finally {
    await file.close()
  }
}

/**
 * Adds a recording, or the run of a cluster, to the files of a site.
 *
 * @param given - the file, or the folder of a failing test
 * @returns the recording's entry in the list of systems, and the end of the address that opens it
 * @throws CliError `ERR_INPUT`
 */
export async function addRecording(
  files: Map<string, SiteFile>,
  given: string,
  { title = basename(resolve(given)), refusesNamed = false }: RecordingOptions = {},
): Promise<{ readonly system: OfferedSystem; readonly hash: string }> {
  const path = await recordingIn(given)
  const name = `recordings/${title}`
  if (files.has(name)) throw new CliError('ERR_INPUT', `${given}: there is another recording '${title}'; rename one`)
  const address = `recordings/${encodeURIComponent(title)}`
  const run = await readClusterRun(path)
  if (run !== undefined) {
    files.set(name, { path: resolve(path) })
    const description = 'The run of a cluster: its machines as lanes over one time line.'
    return {
      system: { title, description, failure: run.failure, options: {}, cluster: address },
      hash: `#${new URLSearchParams({ lanes: address })}`,
    }
  }
  const { about, failure } = await readRecordingNotes(path)
  const { bundle, named: images = [], savedAt } = (about ?? {}) as Partial<BundleNotes>
  if (typeof bundle !== 'object' || bundle === null)
    throw new CliError(
      'ERR_INPUT',
      `${path}: a page opens recordings that have their machine in them (--record-bundle); open this one by the command that its program has printed, or by retrap replay`,
    )
  const first = images.find((image) => image !== null)
  if (first !== undefined && refusesNamed)
    throw new CliError(
      'ERR_INPUT',
      `${path}: it names ${first.name}, which would not be in the site; record with --record-images inside`,
    )
  await checkNamedImages(path, { named: images })
  // The page looks for the images beside the recording.
  for (const image of images)
    if (image !== null) files.set(`recordings/${basename(image.name)}`, { path: resolve(image.name) })
  files.set(name, { path: resolve(path) })
  const description = 'A recorded run, which opens at its end. Go back in it from there.'
  return {
    system: {
      title,
      description,
      failure: failure?.what,
      savedAt: failure?.at ?? savedAt,
      options: { recording: address },
    },
    hash: `#${new URLSearchParams({ open: address })}`,
  }
}
