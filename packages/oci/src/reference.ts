/** A name of an image in a registry, as docker completes it. */
export interface ImageReference {
  /** The registry, as names have it: `docker.io`, `localhost:5000`. */
  readonly domain: string
  /** Such as `library/python`. */
  readonly repository: string
  /** `latest` for a name with neither a tag nor a digest. */
  readonly tag: string | undefined
  /** Such as `sha256:…`; it goes before the tag. */
  readonly digest: string | undefined
}

const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?'
const DOMAIN = new RegExp(String.raw`^(?:${LABEL}(?:\.${LABEL})*|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?$`)
const COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/
const TAG = /^\w[\w.-]{0,127}$/
const DIGEST = /^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/
const MOST_NAME = 255

/**
 * Reads the name of an image.
 *
 * @returns undefined for a text that no image of a registry has as its name
 *
 * Source: distribution/reference, "Grammar" and "ParseDockerRef".
 */
export function parseReference(text: string): ImageReference | undefined {
  const [, name = '', tag, digest] = /^([^@]*?)(?::([^:/@]*))?(?:@([^@]*))?$/.exec(text) ?? []
  const [first = '', ...rest] = name.split('/')
  // Docker takes the first part for a host where a user of docker.io could not have its name.
  const hasDomain = rest.length > 0 && (/[.:A-Z]/.test(first) || first === 'localhost')
  const domain = !hasDomain || first === 'index.docker.io' ? 'docker.io' : first
  const path = hasDomain ? rest : [first, ...rest]
  const isBad = !DOMAIN.test(domain) || !path.every((part) => COMPONENT.test(part)) || name.length > MOST_NAME
  // Docker reads such a text as the identifier of a local image.
  const isId = /^[0-9a-f]{64}$/.test(name)
  if (isBad || isId || (tag !== undefined && !TAG.test(tag)) || (digest !== undefined && !DIGEST.test(digest)))
    return undefined
  const repository = [...(domain === 'docker.io' && path.length === 1 ? ['library'] : []), ...path].join('/')
  return { domain, repository, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest }
}

/** The whole name of an image. */
export const nameOf = ({ domain, repository, tag, digest }: ImageReference): string =>
  [`${domain}/${repository}`, tag && `:${tag}`, digest && `@${digest}`].join('')
