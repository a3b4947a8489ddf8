import type { XenCall } from './call.ts'
import { XenErrno } from './numbers.ts'

/* VMASST_* (public/xen.h). */
const CMD_ENABLE = 0
const CMD_DISABLE = 1
const TYPE_RUNSTATE_UPDATE_FLAG = 5

/**
 * `vm_assist`: command, type. Of the types, hardware guests have the flag that marks runstate areas while they are
 * written: all vCPUs stand still meanwhile, so that none ever sees it.
 */
export function vmAssist(call: XenCall): number {
  if (call.word(1) !== TYPE_RUNSTATE_UPDATE_FLAG) return XenErrno.INVAL
  const command = call.word(0)
  return command === CMD_ENABLE || command === CMD_DISABLE ? 0 : XenErrno.NOSYS
}
