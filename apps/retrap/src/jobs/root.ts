import type { Share } from '@retrap/virtio/p9'

/** How a container image starts its program. For a folder or the host, texts and lists are empty. */
export interface ExecConfig {
  /** The variables of the environment, as `NAME=VALUE`. */
  readonly env: readonly string[]
  /** The user, as `UID`, `UID:GID`, or names that the root's `/etc/passwd` and `/etc/group` have; empty for root. */
  readonly user: string
  /** The working directory; empty for `/`. */
  readonly workingDirectory: string
  /** Comes before the arguments of the command line. */
  readonly entrypoint: readonly string[]
  /** The program to run when the command line names none. */
  readonly command: readonly string[]
  /** The name of the guest; `retrap` if absent. */
  readonly hostname?: string
  /** Folders searched for programs before the usual ones, as far as they exist. */
  readonly searchPath?: string
  /** Files that the root lacks, beside those that every root gets, by their paths. */
  readonly files?: Readonly<Record<string, string>>
}

/** The files that a program of `retrap exec` sees as `/`, under an overlay for its writes. */
export interface ExecRoot {
  /** The files, which are only read. */
  readonly share: Share
  /** The root's settings for starting a program. */
  readonly config: ExecConfig
  /** Lines for `--explain`: which files of the host the guest can read. */
  readonly explanation: readonly string[]
  /** Paths that a program has looked for, and the root's own folders lack: see {@link ViewShare.missed}. */
  readonly missed?: Set<string>
  /** Gives the files back. */
  close(): Promise<void>
}
