/**
 * Numbers that the agent and its host share.
 *
 * A frame, in both directions: u32 length of the rest, u8 type, u32 identifier, payload. All numbers are little-endian.
 * The host chooses the identifier of a request, and each answer carries it.
 */

/** Types of requests, with their payloads. Texts end in a zero byte. */
export const Request = {
  /** u32 uid, u32 gid, u32 flags, u32 candidates, u32 argc, u32 envc, folder, candidates' paths, argv, environment */
  Run: 1,
  /** Bytes for a run's input, at most {@link MOST_INPUT}; the next only after TAKEN. */
  Input: 2,
  /** Closes a run's input after its pending bytes. */
  InputEnd: 3,
  /** u32 signal, for the run's process group. It has no answer. */
  Kill: 4,
  /** u32 flags, u32 mode, path, data */
  Write: 5,
  /** u64 offset, u32 most bytes (at most {@link MOST_READ}), path */
  Read: 6,
  /** path */
  List: 7,
  /** u32 flags, path */
  Stat: 8,
  /** u64 seconds, u64 nanoseconds */
  Time: 9,
  /** path of a file or an empty folder */
  Remove: 10,
  /** path, new path */
  Rename: 11,
  /** u32 flags, u32 mode, path */
  MakeFolder: 12,
  Ping: 13,
  /** A struct rand_pool_info: the kernel's generator of random numbers is seeded with it at once. */
  Entropy: 14,
} as const

/**
 * Types of answers, with their payloads.
 *
 * Exit, Failed, Done, Error and Data end in one byte more: 1 while the agent has descendants, else 0.
 */
export const Answer = {
  /** u32 process identifier */
  Started: 65,
  /** u32 errno, u32 {@link Stage} */
  Failed: 66,
  /** Empty; one byte of 1 if the program no longer reads its input. */
  Taken: 67,
  /** Bytes of the standard output. */
  Output: 68,
  /** Bytes of the standard error. */
  ErrorOutput: 69,
  /** u32 wait status */
  Exit: 70,
  Done: 71,
  /** u32 errno */
  Error: 72,
  /** Bytes of a file, or a struct statx. */
  Data: 73,
  /** Records of getdents64. */
  Entries: 74,
  /** The agent has started; identifier 0. */
  Ready: 75,
  /** The last descendant is gone, and no Exit said so; identifier 0. */
  Idle: 76,
} as const

/** The step of a run that failed. */
export const Stage = { Folder: 1, Execute: 2, Other: 3 } as const

/** Flags of Run. */
export const RUN_INPUT = 1
/** Flag of Write: append instead of truncate. */
export const WRITE_APPEND = 1
/** Flag of Write and MakeFolder: make missing folders of the path. */
export const MAKE_PARENTS = 2
/** Flag of Stat: describe a link itself. */
export const STAT_LINK = 1

/** Bytes of a frame's header. */
export const HEADER_BYTES = 9
/** Bytes of the length in it, which the length does not count. */
export const LENGTH_BYTES = 4
/** Most bytes of a request after its length; the agent exits on a longer one. */
export const MOST_REQUEST = 0x40000
/** Most bytes of one Input. */
export const MOST_INPUT = 0x8000
/** Most bytes of one Read. */
export const MOST_READ = 0x10000
/** Most runs at a time. */
export const MOST_RUNS = 32
