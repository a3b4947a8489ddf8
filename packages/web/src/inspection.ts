/** A vCPU between two of its instructions. */
export interface VcpuView {
  /** Width of its code. */
  readonly mode: 16 | 32 | 64
  /** Linear address of its next instruction. */
  readonly address: bigint
  /** Code from there, as far as it is mapped; up to 64 bytes. */
  readonly bytes: Uint8Array
  /** It waits for an interrupt, and executes nothing. */
  readonly idle: boolean
}

/** A request to a disk that has not been answered yet. */
export interface RequestView {
  /** Name of the drive. */
  readonly drive: string
  /** Where it reads, in bytes. */
  readonly offset: number
  /** How much it reads. */
  readonly bytes: number
  /** How long it has taken so far, in milliseconds. */
  readonly ms: number
}

/** What a machine does at this moment. */
export interface MachineView {
  /** All vCPUs, by number. */
  readonly vcpus: readonly VcpuView[]
  /** Requests that disks have not answered yet, the oldest first. */
  readonly requests: readonly RequestView[]
}
