/** Reads the description of a cluster: a `cluster.json`, or Compose files. */
import { readFileSync, statSync } from 'node:fs'
import { type ClusterDescription, readCluster } from '@retrap/cluster'
import { ComposeError } from '@retrap/compose'
import { readComposeFiles } from '@retrap/compose/node'
import { attempt, CliError } from '../../../errors.ts'
import { LocalImages } from './images.ts'
import { composeCluster, type ComposedCluster } from './compose-cluster.ts'

/** Options that are for Compose files. */
export interface ComposeFlags {
  /** Further files, which are merged over the first file. */
  readonly file?: readonly string[]
  /** A folder of images. */
  readonly images?: string
  readonly profile?: readonly string[]
  readonly envFile?: readonly string[]
  readonly only?: readonly string[]
  readonly strict?: boolean
  readonly faults?: 'none'
}

/** The options as words of a command line. */
export const composeWords = ({
  file = [],
  images,
  profile = [],
  envFile = [],
  only,
  faults,
}: ComposeFlags): readonly string[] => [
  ...file.flatMap((one) => ['-f', one]),
  ...(images === undefined ? [] : ['--images', images]),
  ...profile.flatMap((one) => ['--profile', one]),
  ...envFile.flatMap((one) => ['--env-file', one]),
  ...(only === undefined ? [] : ['--only', only.join(',')]),
  ...(faults === undefined ? [] : ['--faults', faults]),
]

/** Whether a path is that of a Compose file, or of the folder of one. */
export const isCompose = (path: string): boolean =>
  /\.ya?ml$/i.test(path) || statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

/** Reads Compose files. @throws CliError `ERR_INPUT` */
export async function readComposition(
  path: string,
  { file: more = [], images, profile = [], envFile, only, strict = false, faults }: ComposeFlags,
  tell: (text: string) => void,
): Promise<ComposedCluster> {
  try {
    const project = await readComposeFiles([path, ...more], {
      ...(profile.length > 0 && { profiles: profile }),
      ...(envFile !== undefined && { envFiles: envFile }),
      ...(only !== undefined && { only }),
      strict,
    })
    for (const { text } of project.notices) tell(text)
    const found = new LocalImages(images, tell)
    return await composeCluster({
      project,
      findImage: (name) => found.find(name),
      isQuiet: faults === 'none',
    })
  } catch (error) {
    throw error instanceof ComposeError ? new CliError('ERR_INPUT', error.message) : error
  }
}

/** Reads a description. @throws CliError `ERR_INPUT`; ClusterError for a cluster that cannot be */
export async function readClusterFile(
  path: string,
  flags: ComposeFlags,
  tell: (text: string) => void,
): Promise<ClusterDescription> {
  if (!isCompose(path)) return attempt(path, () => readCluster(JSON.parse(readFileSync(path, 'utf8'))))
  const { input, lines } = await readComposition(path, flags, tell)
  for (const { service, text } of lines) tell(`${service}: ${text}`)
  return readCluster(input)
}
