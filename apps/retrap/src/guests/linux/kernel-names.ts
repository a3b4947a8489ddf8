import { existsSync } from 'node:fs'
import { type ReleaseName, RELEASES } from '@retrap/debian'
import { usage } from '../../options/values.ts'

/** A kernel that a user names: that of a release of Debian, or a file. */
export interface NamedKernel {
  /** As in tables and reports. */
  readonly name: string
  readonly release?: ReleaseName
  readonly file?: string
}

/** The kernels of Debian, in the order of a table. */
export const DEBIAN_KERNELS: readonly (NamedKernel & { readonly release: ReleaseName })[] = (
  Object.keys(RELEASES) as ReleaseName[]
).map((release) => ({ name: `debian:${release}`, release }))

/**
 * Reads the name of a kernel: `debian:13`, `13`, or the path of a file. A file whose name is that of a release is written `./13`.
 *
 * @throws CliError `ERR_USAGE` for a text that is neither
 */
export function parseKernel(text: string): NamedKernel {
  const known = DEBIAN_KERNELS.find(({ name, release }) => text === name || text === release)
  if (known !== undefined) return known
  if (existsSync(text)) return { name: text, file: text }
  throw usage(
    `kernel '${text}': there is no such file; Debian's are ${DEBIAN_KERNELS.map(({ name }) => name).join(', ')}`,
  )
}

/** Reads names of kernels with commas between them. @throws CliError `ERR_USAGE`, also for a kernel that is named twice */
export function parseKernels(text: string): readonly NamedKernel[] {
  const kernels = text.split(',').map(parseKernel)
  const again = kernels.find(({ name }, i) => kernels.findIndex((other) => other.name === name) < i)
  if (again !== undefined) throw usage(`--kernels ${text}: ${again.name} is named twice`)
  return kernels
}

/** A kernel's name as a part of a file's. */
export const kernelFileName = ({ name }: NamedKernel): string => name.replaceAll(/[^\w.-]+/g, '-')
