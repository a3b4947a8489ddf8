import config from '@retrap/tooling/vitest'

export default config
