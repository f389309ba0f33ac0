/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The module record and nothing else. Each file of src/httpd registers its own
 * hooks; the order of these calls does not matter, hook order is theirs to say.
 */
#define PYD_MODULE_RECORD /* AP_DECLARE_MODULE says APLOG_USE_MODULE itself */
#include "pyd_httpd.h"

static void register_hooks(apr_pool_t *p)
{
    pyd_config_register(p);
    pyd_check_register(p);
    pyd_map_register(p);
    pyd_launch_register(p);
    pyd_backend_register(p);
    pyd_cut_register(p);
    pyd_notes_register(p);
    pyd_handler_register(p);
}

AP_DECLARE_MODULE(pydaemon) = {
    STANDARD20_MODULE_STUFF,
    pyd_config_create_dir,
    pyd_config_merge_dir,
    pyd_config_create_server,
    pyd_config_merge_server,
    pyd_config_commands,
    register_hooks,
#ifdef AP_MODULE_FLAG_NONE
    AP_MODULE_FLAG_NONE
#endif
};
