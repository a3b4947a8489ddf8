import { checkDigest, digestOf, digestText, parseDigest } from '../digest.ts'
import { OciError, shown } from '../errors.ts'
import { JsonValue } from '../json.ts'
import { type ImageLimits } from '../limits.ts'
import { type Descriptor, descriptorOf, INDEXES, MANIFESTS } from '../manifests.ts'
import { type ImageReference, nameOf } from './reference.ts'

/** A manifest or an index, with the registry's headers: an empty text for an absent one. */
export interface RegistryManifest {
  readonly bytes: Uint8Array
  readonly mediaType: string
  readonly digest: string
}

/** A blob of an image. */
export type Blob = Pick<Descriptor, 'mediaType' | 'digest' | 'size'>

/** An image of a registry: its manifest, and the blobs that the manifest names. */
export interface ResolvedImage {
  readonly manifest: Blob & { readonly bytes: Uint8Array }
  readonly config: Blob
  readonly layers: readonly Blob[]
}

const MOST_DEPTH = 4
/** Variants of a processor that machines here have, by architecture, the best first; an empty one is not said. */
const VARIANTS: Readonly<Record<string, readonly string[]>> = { amd64: ['', 'v1', 'v2', 'v3'], arm64: ['', 'v8'] }

/**
 * Finds the manifest of an image for a processor.
 *
 * @param read - reads a manifest by a tag or a digest
 * @throws OciError `ERR_PLATFORM`, `ERR_UNSUPPORTED`, `ERR_DIGEST`, `ERR_LIMIT`; errors of `read`
 */
export async function resolveImage(
  read: (wanted: string) => Promise<RegistryManifest>,
  reference: ImageReference,
  architecture: string,
  limits: ImageLimits,
): Promise<ResolvedImage> {
  const name = nameOf(reference)
  let wanted = reference.digest ?? reference.tag!
  let known: Pick<Descriptor, 'mediaType' | 'digest'> | undefined
  for (let depth = 0; depth <= MOST_DEPTH; depth++) {
    // oxlint-disable-next-line no-await-in-loop -- an index names the next manifest
    const { bytes, mediaType: header, digest: told } = await read(wanted)
    const given = wanted.includes(':') ? wanted : told
    // oxlint-disable-next-line no-await-in-loop -- as above
    const digest = given === '' ? await digestOf(bytes) : parseDigest(given, name)
    // oxlint-disable-next-line no-await-in-loop -- as above
    await checkDigest(bytes, digest, name)
    const json = JsonValue.parse(bytes, name)
    const mediaType = json.at('mediaType').text || (known?.mediaType ?? header)
    if (MANIFESTS.has(mediaType)) return imageOf(json, { mediaType, digest, size: bytes.length, bytes }, name, limits)
    if (!INDEXES.has(mediaType))
      throw new OciError('ERR_UNSUPPORTED', name, `the registry has it as '${shown(mediaType)}', which is not read`)
    known = chosen(json, architecture, name)
    wanted = digestText(known.digest)
  }
  throw new OciError('ERR_LIMIT', name, `more than ${MOST_DEPTH} indexes in one another`)
}

/** The manifest of an index that is for a processor. */
function chosen(index: JsonValue, architecture: string, name: string): Descriptor {
  const all = index.at('manifests').list.map((json) => descriptorOf(json, name))
  const fits = all.filter(({ platform }) => platform === `linux/${architecture}`)
  const found = (VARIANTS[architecture] ?? ['']).flatMap((one) => fits.filter(({ variant }) => variant === one))
  // An index of one image need not say for which platform it is.
  const [first = all.find(({ platform }) => platform === '')] = found
  if (first !== undefined) return first
  const others = all.filter(({ platform }) => platform !== 'unknown/unknown')
  const platforms = new Set(others.map(({ platform, variant }) => `${platform}${variant && `/${variant}`}`))
  const only = shown([...platforms].join(', '))
  throw new OciError('ERR_PLATFORM', name, `it has no image for linux/${architecture}, only for ${only || 'none'}`)
}

function imageOf(
  json: JsonValue,
  manifest: ResolvedImage['manifest'],
  name: string,
  limits: ImageLimits,
): ResolvedImage {
  const layers = json.at('layers').list.map((layer) => descriptorOf(layer, name))
  const bytes = layers.reduce((sum, { size }) => sum + size, 0)
  if (layers.length > limits.layers || bytes > limits.layerBytes)
    throw new OciError(
      'ERR_LIMIT',
      name,
      `${layers.length} layers of ${bytes} bytes; at most ${limits.layers} of ${limits.layerBytes} are read`,
    )
  return { manifest, config: descriptorOf(json.at('config'), name), layers }
}
