export { together as default } from '@retrap/tooling/vitest'
