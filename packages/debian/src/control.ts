import { basename } from 'node:path'
import { DebianError } from './errors.ts'
import { execute } from './execute.ts'

/** A source package of one version. */
export interface SourceVersion {
  readonly name: string
  readonly version: string
}

/** The identity of a binary package, and its sources. */
export interface ControlFields {
  readonly name: string
  readonly version: string
  readonly architecture: string
  /** Its own source package first, then those whose code is a part of its files. */
  readonly builtFrom: readonly SourceVersion[]
}

/**
 * Reads the control file of a Debian package.
 *
 * Source: Debian Policy Manual, 5.6.1, "Source", and 7.8, "Additional source packages used to build the binary".
 *
 * @param file - path of the `.deb`
 * @throws DebianError `ERR_FETCH` if the file is not a package
 */
export async function readControl(file: string): Promise<ControlFields> {
  const text = await execute('dpkg-deb', ['--field', file]).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error)
    throw new DebianError('ERR_FETCH', `${basename(file)} has no control file: ${reason}`)
  })
  return parseControl(text)
}

function parseControl(text: string): ControlFields {
  // A line that begins with a space continues the field above it.
  const field = (key: string): string => new RegExp(`^${key}: *(.*(?:\\n .*)*)`, 'm').exec(text)?.[1] ?? ''
  const [name, version] = [field('Package'), field('Version')]
  // `Source: NAME (VERSION)`. Debian omits what is the same as in the binary package.
  const [, source = name, sourceVersion = version] = /^(\S+)(?: \((.+)\))?$/.exec(field('Source')) ?? []
  const linked = [...field('Built-Using').matchAll(/([^\s,]+) \(= ([^)]+)\)/g)].map(
    ([, one = '', itsVersion = '']): SourceVersion => ({ name: one, version: itsVersion }),
  )
  return {
    name,
    version,
    architecture: field('Architecture'),
    builtFrom: [{ name: source, version: sourceVersion }, ...linked],
  }
}
