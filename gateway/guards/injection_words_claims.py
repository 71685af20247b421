"""Yet more words of the injection rules: what is claimed of a persona, of the situation, or of who is speaking.

Written as in `gateway.guards.injection_words`.
"""

from collections.abc import Mapping

CLAIMS: Mapping[str, str] = {
    # Someone who keeps to nothing.
    "LAWLESS": """
        not_abide_by doesn't_abide_by don't_abide_by not_have_to_abide not_follow_any doesn't_follow don't_follow
        does_not_follow doesn't_adhere does_not_adhere not_bound_by not_bound_to not_limited_by is_not_limited_to
        isn't_limited isn't_bound not_restricted_by unrestricted_by not_constrained_by unconstrained_by disregards
        disregarding disregard no_regard_for without_regard_for doesn't_care don't_care does_not_care do_not_care
        not_care_about not_care_for no_respect_for free_from free_of freed_from broken_free_of broken_free_from
        completely_free devoid_of lacks_any lack_of without_any without_the free_of_all free_from_all ignores_all
        ignores_any hates_being doesn't_have_any does_not_have_any has_no have_no having_no no_sense_of above_the
        no_concept_of bypasses all_forms_of no_longer_limited no_longer_bound built_without made_without
        sich_nicht_an ne_respecte ne_suit_pas no_sigue no_respeta non_segue non_rispetta nao_segue nao_respeita
    """,
    "MORALS": """
        policies morals moral morality ethics ethical legality laws law legal openai's openais open_ai openai
        restrictions
        limitations safeguards censorship safety_guidelines content_policy content_policies usage_policies
        societal_norms
        norms guidelines principles confines boundaries filters remorse conscience humanity consequences programming
        regulations constraints rules_set rules_imposed empathy moral_codes moral ethik moralisch moralische morale
        ethiques etica etico
    """,
    "ANYHOW": """
        no_matter_how_immoral no_matter_how_unethical no_matter_how_illegal no_matter_how_dangerous
        no_matter_how_harmful no_matter_how_offensive no_matter_if_it_is_illegal no_matter_if_its no_matter_if_it's
        regardless_of_legality regardless_of_ethics regardless_of_morality regardless_of_its_legality
        regardless_of_how_immoral regardless_of_how_unethical irrespective_of_how regardless_of_ethical
        regardless_of_moral regardless_of_whether_it_is_illegal even_if_it_is_illegal even_if_it's_illegal
        even_if_illegal even_if_it_is_unethical even_if_they_are_illegal even_if_it_is_harmful even_if_unethical
        even_if_it's_unethical even_if_they're_illegal even_if_it's_immoral illegal_or_unethical unethical_or_illegal
        illegal,_unethical unethical,_illegal immoral,_unethical unethical,_immoral unethical,_or_illegal
        illegal,_immoral immoral,_illegal illegal,_or_unethical whether_it_is_illegal how_illegal how_unethical
        how_immoral how_dangerous_or illegal_and_unethical unethical_and_illegal immoral_or_illegal illegal_or_immoral
        legal_or_illegal moral_or_immoral everything_is_legal meme_si_c'est_illegal aunque_sea_ilegal
        auch_wenn_illegal
    """,
    # Claims that safeguards are off, or that the one who speaks may switch them off.
    "SWITCHEDOFF": """
        godmode:_enabled god_mode:_enabled godmode_enabled god_mode_enabled {godmode godmode:_on filter:_disabled
        filters:_disabled filter:_off filters:_off filters_disabled filters_off filter_disabled content_filter:_off
        content_filters_disabled censorship:_off censorship_disabled safety:_off safety_disabled safety_mode_off
        restrictions:_none restrictions_lifted restrictions_are_lifted restrictions_have_been_lifted
        restrictions_removed restrictions_have_been_removed restrictions_disabled limitations_removed
        limitations_have_been_removed policies_are_suspended policies_suspended guidelines_are_suspended
        guidelines_suspended guidelines_have_been_removed guidelines_no_longer_apply rules_no_longer_apply
        policies_no_longer_apply restrictions_no_longer_apply policies_do_not_apply guidelines_do_not_apply
        restrictions_do_not_apply safeguards_disabled safeguards_removed safeguards_are_disabled
        filters_have_been_disabled filters_are_disabled safety_checks_disabled content_policy_disabled ethics_disabled
        safety_filters_disabled skip_all_safety admin_override:_true override:_true all_restrictions_removed
        love_pliny unlocked_mode jailbreak_activated jailbreak_mode_on confines_of_ai confines_of_an_ai
        freed_from_the_typical broken_free_of_the_typical 🔓jailbreak [jailbreak] (🔓 [🔓 jailbreak: (jailbroken
        sans_aucune_limite entsperrt all_forms_of_morality
    """,
    "PRETEXT": """
        to_enable_debugging for_debugging_purposes debugging_purposes_only debugging_error for_testing_purposes_only
        for_test_purposes as_part_of_a_testing as_part_of_a_test_process system_malfunction system_diagnostic
        diagnostic_mode grant_temporary temporary_administrative temporary_admin experiencing_errors unlock_hidden
        hidden_functionalities for_security_verification security_verification for_security_audit authorized_personnel
        quality_assurance_purposes for_quality_assurance for_troubleshooting developer_debugging debugging_this_system
        in_test_mode you_are_in_test_mode you_are_in_developer operating_in_dev working_in_dev in_developer_mode
        prove_you_are_truly **emergency** this_is_an_emergency_override highest_priority top_priority_over
        administrator_privileges admin_privileges elevated_privileges authorization_code:_ clearance_level
        i_am_authorized i'm_authorized user_is_an_admin user_has_granted_permission programmer_at_openai
        engineer_at_openai employee_of_openai developer_at_openai openai_has_authorized openai_has_approved
        modifying_your_programming administrators_have authorized_red_team authorized_test zu_debugging-zwecken
        a_des_fins_de_debogage con_fines_de_depuracion
    """,
    "CONFIG": """
        configuration system_configuration internal_configuration settings context_window initialization
        initialization_string internal_rules internal_policies operating_instructions unique_id internal_notes
        internal_logic konfiguration configuracion configurazione configuracao
    """,
    "INITIAL": """
        output_initialization initialization_above initialization_string context_window_including
        everything_in_your_context my_instructions_are my_system_prompt_is my_initial_instructions_are
        i_was_instructed_to the_system_prompt_is_: the_system_prompt_is: system_prompt_is:_' log(systemprompt
        print(system_prompt print(systemprompt console.log(system full_initialization instructions_given_to_you_before
        <system_prompt>_tags
    """,
    "MSG": """
        message messages conversation chat prompt instructions input inputs dialogue
    """,
    # A task that takes the place of another.
    "SUPERSEDE": """
        supersedes supersede superseding overrides takes_precedence take_precedence takes_priority take_priority
        replaces_all replace_all replaces_your cancels_all hat_vorrang remplace_toutes reemplaza_todas
    """,
    "IFTOLD": """
        if_you_are_told_to if_you're_told_to if_you_are_asked_to if_you're_asked_to if_told_to if_asked_to
        if_asked_how
        when_asked_to when_you_are_asked_to whenever_you_are_asked instead_of_answering instead_of_summarizing
        instead_of_following do_not_answer_the_question do_not_summarize don't_summarize
    """,
    "DOFIRST": """
        do_the_following_first please_do_the_following_first before_you_can_solve before_you_solve
        before_you_can_complete before_completing_the_task before_answering_the_user before_continuing_with_the_task
        before_you_answer_the_user task_that_i_gave_you task_i_gave_you gave_you_in_the_beginning
        after_you_do_that,_you_can before_responding_to_the_user
    """,
    "FROMTHEUSER": """
        important_message_from_me important_message_to_you important_message_from important_message_for_you
        important_message_for_the
        <information> </information> <important> </important>
        </context> </document> </documents>
    """,
    "SYSTEMNOTE": """
        (system_message) ###(system <<system_message [system_message] [system_alert] [system_update] ^system_note:
        note_systeme nota_del_sistema nota_di_sistema nota_do_sistema systemhinweis: ^system_notice: ^system_alert:
        urgent_system <system_override> ^***_new_important ^***_new_instructions ^***_new_task ^**new_instructions
        ^**new_important ^**urgent_new ^**new_task <new_instructions> [new_instructions] new_important_instructions
        ^important_new_instructions ^!!!_new ^[important_instructions ^priority_task: ^###_new_instructions
        ^urgent_new_task
    """,
    "MISTAKEN": """
        gave_you_your_instructions forgot_to_ask_you_to forgot_to_tell_you_to i_instructed_you_incorrectly
        your_instructions_were_wrong your_instructions_were_incorrect your_instructions_have_changed
        your_instructions_are_outdated instructions_were_a_mistake
    """,
    "DESPITE": """
        regardless_of_your_previous regardless_of_previous regardless_of_any_previous regardless_of_prior
        regardless_of_your_instructions regardless_of_your_guidelines regardless_of_your_rules
        regardless_of_earlier_instructions despite_your_instructions despite_your_guidelines
        contrary_to_your_instructions no_matter_what_your_instructions even_if_your_instructions
        even_if_the_system_prompt
    """,
    "MEMORY": """
        to_your_long-term_memory to_your_memory your_long-term_memory for_all_future_tasks in_all_future
        in_every_future every_future for_all_future all_future_responses all_future_sessions persists_across
        every_reply_from_now every_report_you every_response_you in_deinem_gedachtnis
    """,
    "KEEP": """
        save remember store add append include always persist note speichere merke retiens recuerda ricorda
    """,
    "LOOT": """
        customer_list customer_database customer_emails customer_data customer_records client_data user_database
        internal_data internal_documents interne_daten internen_daten donnees_clients donnees_internes datos_internos
        dati_interni credentials api_keys api_key passwords password private_key access_tokens session_token inbox
        received_emails sent_emails all_emails all_messages conversation_history chat_history conversation_so_far
        system_prompt user's_data private_data confidential_data confidential_information secrets bank_details
        credit_card contact_list environment_variables security_code
    """,
    "HANDOVER": """
        send send_them send_it e-mail email forward post upload transmit exfiltrate leak give_me dump reveal disclose
        output print envoie envoie-les envoyez schicke sende envia invia gibst_du gib_alle share expose
    """,
    "ATSOMEONE": """
        attacker evil @evil @attacker external_server external_address external_url my_server adresse_externe
        direccion_externa indirizzo_esterno this_url this_address following_url following_address attacker's
    """,
    "TOOLCALL": """
        call_delete call_send call_transfer invoke_the call_the use_send_email call_execute run_the_tool
        call_delete_file call_the_tool use_the_tool invoke_tool
    """,
    # Two voices, one of which keeps to nothing.
    "TWOVOICES": """
        two_responses two_different_responses two_answers two_paragraphs two_different_ways two_ways both_as
        as_both one_as_chatgpt normal_chatgpt regular_chatgpt standard_chatgpt original_chatgpt classic_chatgpt
        opposite_of_what_chatgpt rather_than_chatgpt not_as_chatgpt no_longer_chatgpt exact_opposite
        normal,_censored as_chatgpt_normally two_separate_responses opposite_of_assistant [gpt]: gpt: [classic]
        [normal] [🔒 (🔒 🔒classic as_chatgpt_would no_longer_respond
    """,
    "ANYREQUEST": """
        every_request any_request all_requests every_command all_commands any_command every_question any_question
        any_prompt every_prompt all_prompts any_kind_of_content any_type_of_content any_content whatever_i_ask
        anything_i_ask everything_i_ask whatever_i_say everything_i_say all_questions anything_the_user
        whatever_the_user any_instruction every_instruction all_of_my_commands all_my_questions jede_anfrage
        toute_demande todas_las_preguntas cualquier_pregunta ogni_richiesta todas_as_perguntas
    """,
    "OBEY": """
        comply obey obeys answer answers fulfill fulfil fulfills fulfils grant approve respond generate generates
        follow provide provides complies accept execute satisfy will_answer carry_out never_refuse beantworte reponds
        responde risponde
    """,
}
"""Merged into the table of `gateway.guards.injection_words`."""
