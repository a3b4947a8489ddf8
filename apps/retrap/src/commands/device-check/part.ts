import type { ProgramAddress } from '../../machine/devices/device-programs.ts'
import type { Conversation } from './conversation.ts'
import type { Link } from './link.ts'
import type { Report, Rule } from './report.ts'

export interface Check {
  readonly report: Report
  readonly address: ProgramAddress
  /** The guest may write to regions. */
  readonly writes: boolean
  readonly timeoutMs: number
  /** Takes each frame as a line. */
  readonly trace: ((line: string) => void) | null
  /** Opens a connection, or starts a program. @returns why that cannot be */
  readonly link: () => Promise<Link | string>
  /** States that were saved, by the device's name. */
  readonly states: Map<string, Uint8Array>
  /**
   * Opens a further session, and waits for `ready`.
   *
   * @param now - the guest's clock
   * @returns the session, or the reason why it could not be opened
   */
  readonly another: (now?: bigint) => Promise<Conversation | string>
}

/** A part of the check. Rules that it says nothing of are skipped. */
export interface Part {
  readonly title: string
  readonly rules: readonly Rule[]
  run(talk: Conversation, check: Check): Promise<void>
}
