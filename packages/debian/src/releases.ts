/** A release of Debian's archive. */
export interface Release {
  /** The name in messages, such as `Debian 12`. */
  readonly title: string
  /** The parts of the archive that are signed as a whole, the main one first. */
  readonly suites: readonly [string, ...string[]]
}

/** The name that users give a release. */
export type ReleaseName = '11' | '12' | '13' | 'backports' | 'sid'

/** The releases that packages come from. */
export const RELEASES: Readonly<Record<ReleaseName, Release>> = {
  '11': { title: 'Debian 11', suites: ['bullseye'] },
  '12': { title: 'Debian 12', suites: ['bookworm', 'bookworm-updates'] },
  '13': { title: 'Debian 13', suites: ['trixie', 'trixie-updates'] },
  backports: { title: "Debian 13's backports", suites: ['trixie-backports'] },
  sid: { title: 'Debian sid', suites: ['sid'] },
}

/** A fixed release, so that all users boot the same system. */
export const USUAL_RELEASE: ReleaseName = '12'

/** The release of the guests' busybox: the wget of earlier ones crashes where it is given a time limit. */
export const SHELL_RELEASE: ReleaseName = '13'
