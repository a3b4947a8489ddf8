import type { AccessRequest, RangeHandler } from '@retrap/device'

/** Answers for a model that was detached: ones on reads, writes dropped. */
export const DEAD_HANDLER: RangeHandler = {
  read: () => 0xffff_ffff,
  write: () => {},
  read64: (_offset, into) => {
    into.lo = 0xffff_ffff
    into.hi = 0xffff_ffff
  },
  write64: () => {},
}

/** How a device model is made slow, or dead, so that one sees what its guest does then. */
export interface DeviceImpairment {
  /** Called before each access, which the model gets when the promise has resolved. Default: at once. */
  readonly wait?: () => PromiseLike<void>
  /** Reads return ones and writes are dropped, without the model. Default false. */
  readonly dead?: boolean
}

/** A handler behind an impairment. An access that is cancelled while it waits does not reach the model. */
export function impairedHandler(own: RangeHandler, { wait, dead = false }: DeviceImpairment): RangeHandler {
  const handler = dead ? DEAD_HANDLER : own
  if (wait === undefined) return handler
  const cancelled = async (request: AccessRequest | undefined): Promise<boolean> => {
    await wait()
    return request?.signal.aborted === true
  }
  return {
    read: async (offset, size, request) => ((await cancelled(request)) ? 0 : handler.read(offset, size, request)),
    write: async (offset, size, value, request) => {
      if (!(await cancelled(request))) await handler.write(offset, size, value, request)
    },
    ...(handler.read64 !== undefined && {
      read64: async (offset, into, request) => {
        if (!(await cancelled(request))) await handler.read64!(offset, into, request)
      },
    }),
    ...(handler.write64 !== undefined && {
      write64: async (offset, lo, hi, request) => {
        if (!(await cancelled(request))) await handler.write64!(offset, lo, hi, request)
      },
    }),
  }
}
