// Files out of Debian's packages, for tests that compare with programs or on programs of Debian.
import { DebianError, fetchMembers, type PackageMembers } from '@retrap/debian'

export type DebianMembers = PackageMembers

/**
 * Returns a folder for each entry, with its members at their paths; missing ones are fetched.
 *
 * @returns in the order of `wanted`; undefined if a member is missing and there is no network for it, or no folder that
 * can be written: tests skip then
 */
export async function debianMembers(wanted: readonly DebianMembers[]): Promise<readonly string[] | undefined> {
  try {
    return await fetchMembers(wanted)
  } catch (error) {
    if (!(error instanceof DebianError) || error.code === 'ERR_FETCH') throw error
    console.warn(`without ${wanted.map((one) => one.package).join(', ')}: ${error.message}`)
    return undefined
  }
}
